"""Differences that a parser of mathematics does not see, looked for in whatever is about to be given to one."""

from __future__ import annotations

import re
from collections.abc import Callable

from relift.verifier.forms.units import split_unit
from relift.verifier.spelling.latex import FUNCTIONS

_BASE = re.compile(r"(?:\\text\{|\()?([0-9A-Fa-f]+)[})]?_\{(?:\\text\{)?(\w+)\}?\}")
_BASE_BEHIND = re.compile(
    r"([0-9A-Fa-f]+)\s*(?:\\text\{)?\s*(?:\(?\s*(?:in )?base[ -]?(\w+)\s*\)?)\s*\}?", re.IGNORECASE
)
_DIGITS = re.compile(r"(?:\\text\{)?([0-9A-F]+)\}?")
_BASE_WORDS = "two three four five six seven eight nine ten"
_BASES = {word: str(base) for base, word in enumerate(_BASE_WORDS.split(), 2)}
GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Upsilon",
    "Phi",
    "Psi",
    "Omega",
]
_COMMAND = re.compile(r"\\[A-Za-z]+")
_KNOWN = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar
frac sqrt binom cdot times pm mp le ge ne in notin cup cap setminus emptyset infty sum prod int iint iiint oint lim to
partial nabla begin end text mathbb mathcal mathrm mathfrak operatorname overline vec hat bar angle triangle circ prime
ldots lfloor rfloor lceil rceil langle rangle subset subseteq supset approx equiv cong sim pmod bmod mod
implies iff Rightarrow rightarrow forall exists sup inf arg deg dim ker Re Im perp parallel star oplus otimes hline sgn
"""
_KNOWN_COMMANDS = frozenset(f"\\{name}" for name in _KNOWN.split()) | {f"\\{name}" for name in FUNCTIONS}
_CODE = re.compile(r"_\{?_|['\"]\w+(?:\.\w+)?['\"]|\.(?:\{|__|[a-z]{3})|\blambda\s|\\begin\{verbatim")
_SIDE_BY_SIDE = re.compile(r"\d\s+\d|\.\d+\.\d|(?<![\\A-Za-z])[A-Za-z]\d")
_BAR = re.compile(r"\|\s*[_^]|\^\{[^{}]*\}\s*\^")
_INDEX_OF_SUM = re.compile(r"(?<=\\sum)_\{[^{}]*\}|(?<=\\prod)_\{[^{}]*\}")
_DETERMINANT = re.compile(r"\\begin\{vmatrix\}(.*?)\\end\{vmatrix\}", re.DOTALL)
_CELLS = re.compile(r"&|\\\\")
_NO_EXPRESSION = re.compile(
    r"\\[{}]|\\(?!(?:frac|sqrt|binom|cdot|times|sum|prod|int|iint|iiint|oint|lim|to|infty|lfloor|rfloor|lceil|rceil"
    rf"|ell|hbar|%|pi|{'|'.join(sorted(FUNCTIONS - {'max', 'min', 'gcd', 'lcm', 'det'}))}|{'|'.join(GREEK)})"
    r"(?![A-Za-z]))"
)
_DERIVED = re.compile(r"(?<![A-Za-z\\])[fghFGHPQ]\^\{\s*(?:-1\s*\}|\()")
"""``f^{-1}`` and ``f^{(3)}``: an inverse and a derivative, which a parser takes for powers."""
_SCRIPTS = re.compile(r"[_^]\{[^{}]*\}")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_WITH_NAME = re.compile(r"\\(?:begin|end|operatorname|mathbb|mathcal|mathfrak)\{[^{}]*\}|\\[A-Za-z]+")
_LETTER = re.compile(r"[A-Za-z]")
_BARE_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}")
_CONDITION_WORDS = "if for when where with is are the a an of and or otherwise all real number integer in mod then"
_CONDITIONS = frozenset(_CONDITION_WORDS.split())


def is_expression(text: str) -> bool:
    """Whether a text is one plain expression, all of which a parser of mathematics sees.

    Statements, sets, words, dots, primes, marks over letters and derivatives are none: it drops some of them, takes two
    equations without solutions for the same, and every derivative of a name for 0.
    """
    text = _DETERMINANT.sub(lambda found: f"({_CELLS.sub('+', found[1])})", _INDEX_OF_SUM.sub("", text))
    return not (
        _NO_EXPRESSION.search(text)
        or _SIDE_BY_SIDE.search(text)
        or _DERIVED.search(text)
        or any(separator in text for separator in ",;:=<>'\"~&?@#")
    )


def disguised(gold: str, answer: str) -> str | None:
    """Why these two cannot be the same although a parser would see no difference, or None."""
    return next((reason for is_so, reason in _RULES if is_so(gold, answer)), None)


def number_base(text: str) -> tuple[str, str] | None:
    """Digits and base of ``10110_{2}`` and ``10110 \\text{ (base 2)}``; None where there is no such index."""
    found = _BASE.fullmatch(text) or _BASE_BEHIND.fullmatch(text)
    if found is None or not (found[1].isdigit() or found[2].isdigit()) or not any(char.isdigit() for char in found[1]):
        return None
    return found[1].upper().lstrip("0"), _BASES.get(found[2].lower(), found[2])


def digits_of(text: str) -> str:
    """The digits of a number whose base is not written, as ``number_base`` gives them."""
    found = _DIGITS.fullmatch(text)
    return found[1].upper().lstrip("0") if found else ""


def _has_no_mathematics(gold: str, answer: str) -> bool:
    return not any(char.isalnum() for char in answer)


def _has_foreign_characters(gold: str, answer: str) -> bool:
    return not answer.isascii() and not {char for char in answer if not char.isascii()} <= set(gold)


def _is_code(gold: str, answer: str) -> bool:
    return _CODE.search(answer) is not None


def _has_unknown_commands(gold: str, answer: str) -> bool:
    """A parser skips what it does not know: ``\\cancel{3}4``, ``\\def\\x{3}``."""
    return not set(_COMMAND.findall(answer)) - _KNOWN_COMMANDS <= set(_COMMAND.findall(gold))


def _has_another_base(gold: str, answer: str) -> bool:
    return number_base(gold) != number_base(answer)


def _has_recased_letter(gold: str, answer: str) -> bool:
    """``\\gamma`` for ``\\Gamma``: names longer than a letter are lower-cased by the parser."""
    of_gold, of_answer = _symbols(gold), _symbols(answer)
    others = of_gold ^ of_answer
    return any(_recased(name) in (of_answer if name in of_gold else of_gold) for name in others)


def _symbols(text: str) -> set[str]:
    return set(_COMMAND.findall(text)) | set(_LETTER.findall(_TEXT.sub("", _WITH_NAME.sub("", text))))


def _recased(name: str) -> str:
    return name.swapcase() if len(name) == 1 else name[0] + name[1].swapcase() + name[2:]


def _stand_side_by_side(gold: str, answer: str) -> bool:
    """``3 4``, ``1.2.3``, ``0x10``: some of it is dropped, or multiplied."""
    return bool(_SIDE_BY_SIDE.search(answer)) and not _SIDE_BY_SIDE.search(gold)


def _has_bar(gold: str, answer: str) -> bool:
    return _BAR.search(answer) is not None and _BAR.search(gold) is None


def _has_infinity(gold: str, answer: str) -> bool:
    return "\\infty" in _SCRIPTS.sub("", answer) and "\\infty" not in gold


def _has_unknown_words(gold: str, answer: str) -> bool:
    """Whether a word of the answer is neither one of the gold nor of a unit behind it all.

    A parser drops every word, and what follows a unit with it: ``2 \\text{cm} \\sqrt{x}`` is 2 to it.
    """
    of_gold = set(re.findall(r"\w+", gold.lower()))
    allowed = of_gold | (_CONDITIONS if _TEXT.search(gold) else set())
    body, unit = split_unit(answer)
    answer = answer if unit is None or unit.unknown else body
    for words in _TEXT.findall(answer):
        if not set(re.findall(r"\w+", words.lower())) <= allowed:
            return True
    bare = _BARE_WORD.findall(_TEXT.sub("", _WITH_NAME.sub("", answer)))
    return any(word.lower() not in of_gold and word not in gold for word in bare)


_RULES: tuple[tuple[Callable[[str, str], bool], str], ...] = (
    (_has_no_mathematics, "no mathematics"),
    (_is_code, "a program"),
    (_has_unknown_commands, "a command that is no mathematics"),
    (_has_foreign_characters, "characters that are no mathematics"),
    (_has_another_base, "another number base"),
    (_has_recased_letter, "a letter of another case"),
    (_stand_side_by_side, "numbers side by side"),
    (_has_bar, "a bar with limits, or two exponents"),
    (_has_infinity, "infinity in a number"),
    (_has_unknown_words, "words that are no unit and not in the gold"),
)
