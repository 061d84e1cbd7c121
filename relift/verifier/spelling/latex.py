"""Rewriting LaTeX commands and arguments to one form, braces matched by hand."""

from __future__ import annotations

import re
from itertools import islice

from relift.verifier.spelling.brackets import closing, split_top

MAX_REWRITTEN = 200
"""Commands with arguments and calls, of one text: each is walked to its end, and they may be nested."""
_FUNCTION_NAMES = """
sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth log ln lg exp max min gcd lcm det
"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())

_DROPPED = """
left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm displaystyle textstyle scriptstyle
limits nolimits hfill noindent mathstrut strut centering mathbf boldsymbol bm mathit mathsf mathtt mathnormal pmb bf rm
it sf underline fbox boxed ensuremath mathopen mathclose mathord dollar lq rq
"""
_BLANKS = "quad qquad enspace thinspace medspace thickspace space newline"
_RENAMED = {
    **dict.fromkeys(_DROPPED.split(), ""),
    **dict.fromkeys(_BLANKS.split(), " "),
    **dict.fromkeys(("dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"), "\\frac"),
    **dict.fromkeys(("dbinom", "tbinom"), "\\binom"),
    **dict.fromkeys(("leq", "leqslant", "leqq"), "\\le"),
    **dict.fromkeys(("geq", "geqslant", "geqq"), "\\ge"),
    **dict.fromkeys(("cdotp", "ast", "bullet"), "\\cdot"),
    **dict.fromkeys(("dots", "cdots", "dotsc", "dotsb", "dotsm", "textellipsis"), "\\ldots"),
    **dict.fromkeys(("backslash", "smallsetminus"), "\\setminus"),
    **dict.fromkeys(("lvert", "rvert", "vert", "mid"), "|"),
    **dict.fromkeys(("degree", "textdegree"), "^{\\circ}"),
    **{letter: f"\\mathbb{{{letter}}}" for letter in "RZQNC"},
    "neq": "\\ne", "lt": "<", "gt": ">", "varnothing": "\\emptyset", "infin": "\\infty", "Reals": "\\mathbb{R}",
    "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "colon": ":",
    "div": "/", "wedge": "\\land", "vee": "\\lor", "varphi": "\\phi", "varepsilon": "\\epsilon", "vartheta": "\\theta",
    "euro": "\\text{euros}", "pounds": "\\text{pounds}", "percent": "\\%",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
_DOUBLE_STRUCK = re.compile(r"\\mathbb\s*([A-Z])(?![A-Za-z])")
_EMPTY_FENCE = re.compile(r"\\(?:left|right)\s*\.")
_GLUED = re.compile(r"(\\q?quad)(?=[A-Za-z])")  # `\quadx_2`, as some data sets have it
_COLOR = re.compile(r"\\(?:(?:text)?color\s*(?:\[[^\]]*\])?|[hv]?phantom\s*)\{[^{}]*\}")
_WORDS = re.compile(
    r"\\(text|mbox|hbox|textnormal|textrm|textbf|textit|textsf|texttt|textsc|textup|emph|mathrm|operatorname)\*?"
    r"\s*(?:\{([^{}]*)\}|(?<=mathrm)\s*([A-Za-z])(?![A-Za-z]))"
)
_NUMBER_BEFORE = re.compile(r"[\d}]\s*(?:\\[,;! ]\s*|~)*$")
_RAISED_IN_WORDS = re.compile(r"\\(text|mathrm|mbox|textrm)\s*\{([A-Za-z /.,\\~]*)\^\s*\{?(-?\d)\}?\s*\}")
_UNIT_LIKE = re.compile(r"[A-Za-z][A-Za-z .,'/^\d:()-]*")
_NUMBER_AND_WORDS = re.compile(r"([+-]?\d[\d.,]*)\s*(?!(?:st|nd|rd|th)\b)([A-Za-z].*)")

_ALIASES = {"atan": "arctan", "asin": "arcsin", "acos": "arccos", "tg": "tan", "ctg": "cot"}
_OF_SEVERAL = ("max", "min", "gcd", "lcm", "det")
_CALLABLE = "|".join(sorted([*FUNCTIONS.difference(_OF_SEVERAL), *_ALIASES], key=len, reverse=True))
_PYTHON = re.compile(  # "30 min" calls nothing
    rf"(?<![\\A-Za-z{{])(sqrt|pi|oo|{_CALLABLE}|(?:{'|'.join(_OF_SEVERAL)})(?=\s*\())(?![A-Za-z])|\*\*?"
)
_CALLS = {
    "factorial": ("({})!", 1), "binomial": ("\\binom{{{}}}{{{}}}", 2), "comb": ("\\binom{{{}}}{{{}}}", 2),
    "floor": ("\\lfloor {}\\rfloor ", 1), "ceil": ("\\lceil {}\\rceil ", 1), "ceiling": ("\\lceil {}\\rceil ", 1),
    "Abs": ("|{}|", 1), "abs": ("|{}|", 1),
}  # fmt: skip
_CALL = re.compile(rf"(?<![\\A-Za-z])({'|'.join(_CALLS)})\(")
_PYTHON_NAMES = {"**": "^", "*": "\\cdot ", "oo": "\\infty ", "pi": "\\pi "}

_TAKES = {"\\frac": 2, "\\binom": 2, "\\sqrt": 1}
_WITH_ARGUMENTS = re.compile(r"\\(?:frac|binom|sqrt)(?![A-Za-z])")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_APPLIED = re.compile(r"(?<![A-Za-z\\])([A-Za-z])\{\(([^(){}]*)\)\}")  # `f{\left(x\right)}`, as sympy prints it
_SCRIPT = re.compile(r"([\^_])\s*(?=\S)")
_SCRIPT_TOKEN = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)|[+-]?[A-Za-z]|\\[A-Za-z]+")


def commands(text: str) -> str:
    """Fonts, fences and synonyms gone; words in ``\\text{}``, whatever command they stood in."""
    text = _EMPTY_FENCE.sub("", _COLOR.sub("", _GLUED.sub(r"\1 ", text)))
    text = _DOUBLE_STRUCK.sub(r"\\mathbb{\1}", text)
    text = _RAISED_IN_WORDS.sub(lambda found: f"\\text{{{found[2].replace(chr(92) + ',', ' ')}^{found[3]}}}", text)
    return _APPLIED.sub(r"\1(\2)", _COMMAND.sub(_renamed, _WORDS.sub(_as_words, text)))


def _renamed(found: re.Match[str]) -> str:
    return _RENAMED.get(found[1], found[0])


def _as_words(found: re.Match[str]) -> str:  # noqa: PLR0911  (a rule a line)
    content = " ".join((found[2] if found[2] is not None else found[3]).replace("~", " ").split())
    is_symbol = found[1] in ("mathrm", "operatorname")
    if content == "pi":
        return "\\pi "
    if content in ("min", "sec") and _NUMBER_BEFORE.search(found.string, 0, found.start()):
        return f"\\text{{{content}}}"  # minutes and seconds
    if (function := _ALIASES.get(content, content)) in FUNCTIONS:
        return f"\\{function} " if is_symbol or found[1] == "text" else found[0]
    if content in ("e", "i", "d") and (is_symbol or found[1] == "text"):
        return content  # a parser takes \mathrm{e} for a unit and drops it
    split = _NUMBER_AND_WORDS.fullmatch(content)
    if split and (not is_symbol or " " in content):
        return f"{split[1]}\\text{{{split[2]}}}"
    if not any(char.isalpha() for char in content) or (is_symbol and not _UNIT_LIKE.fullmatch(content)):
        return content or " "
    return f"\\text{{{content}}}"


def python_calls(text: str) -> str:
    """``3*s**2``, ``2*sqrt(2)``, ``sin(x)``, ``(-oo,3)``, ``factorial(5)`` as LaTeX."""
    for found in reversed(list(islice(_CALL.finditer(text), MAX_REWRITTEN))):
        pattern, count = _CALLS[found[1]]
        end = closing(text, found.end() - 1)
        arguments = split_top(text[found.end() : end], ",")
        if end >= 0 and len(arguments) == count:
            text = text[: found.start()] + pattern.format(*arguments) + text[end + 1 :]
    return _PYTHON.sub(_as_command, text)


def _as_command(found: re.Match[str]) -> str:
    name = _ALIASES.get(found[0], found[0])
    return _PYTHON_NAMES.get(name, f"\\{name} ")


def arguments_in_braces(text: str) -> str:
    """``\\frac12``, ``\\sqrt 2``, ``\\sqrt[3]2``, ``\\sqrt(2)`` with their arguments in braces, inner ones first."""
    for found in reversed(list(islice(_WITH_ARGUMENTS.finditer(text), MAX_REWRITTEN))):
        written, position = found[0], found.end()
        for number in range(_TAKES[found[0]]):
            while text[position : position + 1] == " ":
                position += 1
            if number == 0 and found[0] == "\\sqrt" and text[position : position + 1] == "[":
                end = text.find("]", position)
                if end < 0:
                    return text
                written, position = written + text[position : end + 1], end + 1
            argument, position = _argument(text, position, is_root=found[0] == "\\sqrt")
            if argument is None:
                break
            written += argument
        else:
            text = text[: found.start()] + written + text[position:]
    return text


def _argument(text: str, position: int, *, is_root: bool) -> tuple[str | None, int]:
    """The next argument in braces and where the text goes on; None where there is none."""
    while text[position : position + 1] == " ":
        position += 1
    char = text[position : position + 1]
    if char == "{" or (char == "(" and is_root):
        end = closing(text, position)
        content = text[position + 1 : end].strip() if end >= 0 else ""
        if end >= 0 and is_root and not content:
            return _argument(text, end + 1, is_root=False)  # \sqrt{}{3}
        return (f"{{{content}}}", end + 1) if content else (None, position)
    if is_root and (digits := _DIGITS.match(text, position)):
        return f"{{{digits[0]}}}", digits.end()
    if char == "\\" and (command := _COMMAND.match(text, position)):
        return _command_with_arguments(text, command)
    return (f"{{{char}}}", position + 1) if char.isalnum() else (None, position)


def _command_with_arguments(text: str, command: re.Match[str]) -> tuple[str | None, int]:
    """``\\pi``, or ``\\frac{1}{2}`` whose own arguments stand in braces already."""
    written, end = command[0], command.end()
    for _ in range(_TAKES.get(command[0], 0)):
        close = closing(text, end) if text[end : end + 1] == "{" else -1
        if close < 0:
            return None, command.start()
        written, end = written + text[end : close + 1], close + 1
    return f"{{{written}}}", end


def powers_in_braces(text: str) -> str:
    """Exponents and indices in braces: ``x^2``, ``11z^17``, ``x^(2/3)``, ``10110_2``."""
    pieces, begin = [], 0
    for found in _SCRIPT.finditer(text):
        position = found.end()
        if found.start() < begin:
            continue
        if text[position] == "{":
            pieces += [text[begin : found.start()], found[1]]
            begin = position
            continue
        if text[position] == "(" and found[1] == "^":
            end = closing(text, position)
            if end < 0:
                break
            content, end = text[position + 1 : end], end + 1
        elif token := _SCRIPT_TOKEN.match(text, position):
            content, end = token[0], token.end()
            if content in _TAKES:
                argument, end = _argument(text, position, is_root=False)
                if argument is None:
                    break
                content = argument[1:-1]
        else:
            continue
        pieces += [text[begin : found.start()], f"{found[1]}{{{powers_in_braces(content)}}}"]
        begin = end
    return "".join([*pieces, text[begin:]])
