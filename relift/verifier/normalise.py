"""One spelling for answers that differ only in how they are written.

The result is LaTeX again, so that it can be compared as a string and parsed as mathematics alike. The order matters:
separators of thousands are looked for while blanks are still there (``32, 349`` is a list), words are told from symbols
before a parser could take ``\\mathrm{e}`` for a unit and drop it.
"""

from __future__ import annotations

import re

from relift.verifier.spelling.brackets import inside
from relift.verifier.spelling.characters import to_ascii
from relift.verifier.spelling.latex import arguments_in_braces, commands, powers_in_braces, python_calls
from relift.verifier.spelling.numerals import plain_numeral, repeating_decimals

_DOUBLED = re.compile(
    r"(?<!\\)\\\\(?=(?:[dt]?frac|sqrt|left|right|text|pi|infty|cdot|times|boxed|pm|log|ln|sin|cos|tan|cup|circ|leq?|geq?)"
    r"(?![a-zA-Z]))"
)
_SAFE_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|'(?=(?:\d{3}')*\d{3}(?![\d'])\s*$)|,\\! ?|\\[,! ;]|\\:)(?=\d{3}(?!\d))")
_TO_NOTHING = re.compile(r"\\\$|\$|(?<!\\)\\[()\[\]]|\\!|`")
_SEPARATE_FORMULAS = re.compile(r"\$\s*,\s*\$")
_TO_BLANK = re.compile(r"(?<!\\)\\[,;: >]|~|\s+")
_PERCENT = re.compile(
    r"(?<=[\d}])\s*(?:\\text\{\s*)?(?:percent(?:age)?|per cent|pct\.?)(?![a-zA-Z])\s*\}?", re.IGNORECASE
)
_BARE_PERCENT = re.compile(r"(?<!\\)%")
_COMPARISONS = [
    (re.compile(r"<=|=<"), r"\\le "),
    (re.compile(r">="), r"\\ge "),
    (re.compile(r"(?<![\d)}])!="), r"\\ne "),
    (re.compile(r"=="), "="),
]
_LABEL_WORDS = (
    r"(?:the|so|our|final|correct|answer|result|value|solution|choice|option|is|therefore|thus|hence|sum|total|area)"
)
_LABEL_END = r"(?:answer|option|choice|result|solution)"
_LABEL = re.compile(
    rf"^(?:\\text\{{[^{{}}]*:\s*\}}|\\text\{{\s*(?:{_LABEL_WORDS}\s+)*(?:is|answer|option|choice)\s*\}}|\\therefore\b"
    rf"|(?:{_LABEL_WORDS}\s+)*{_LABEL_END}\s*(?::|is\b|(?=\(?[A-Z]\)?$)))\s*:?\s*",
    re.IGNORECASE,
)
_ONLY_WORDS = re.compile(r"\\text\{([^{}]*)\}\.?")
_QUALIFIER = re.compile(r"^(?:\\text\{\s*(?:only|exactly|precisely|just)\s*\})\s*")
_MODULO = re.compile(
    r"\(\s*(?:\\text\{)?\s*mod(?:ulo)?\s*\}?\s*([^()]+?)\)|\\(?:pmod|bmod|mod)\s*(?:\{([^{}]+)\}|(\w))"
)
_CHOSEN = re.compile(r"(?<![A-Za-z\\])C_\{(\d+)\}\^\{(\d+)\}|(?<![A-Za-z\\])C\((\d+),(\d+)\)")
_DENIAL = re.compile(r"\b(?:not|no|never|or|wrong|incorrect|false|except)\b", re.IGNORECASE)
_PLAIN_THOUSANDS = re.compile(
    r"(?P<before>[^\d()\[\],;]*)(?P<number>\d{1,3}([, ])\d{3}(?:\3\d{3})*)(?P<rest>\.\d+)?"
    r"(?P<after>[^\d()\[\],;.]*(?:\^\{\d\})?\.?)"
)
_DOTTED_THOUSANDS = re.compile(r"([+-]?\d{1,3}(?:(?:\.\d{3}){2,}|\.\d{3}(?=,(?:\d\d?|\d{4,})$)))(?:,(\d+))?")
_BASE_TEN = re.compile(r"\(?(\d+)\)?_\{10\}")
# `1 2`, `\pi x` and words keep their blank, and so does `32, 349`, which is no number.
_NEEDLESS_BLANK = re.compile(r"(?<![0-9A-Za-z]) (?!(?<=\d, )\d{3}(?!\d))| (?![0-9A-Za-z])")
_TEXT_EDGES = re.compile(r"\\text\{\s+|(?<=[^\s{])\s+(?=\})")
_CIRCLE = re.compile(r"\^\s*\\circ(?![a-zA-Z])")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z\d.\\])(\d+(?:\.\d*)?|\.\d+)[eE]([+-]?)(\d{1,3})(?![A-Za-z\d._])")
_OVER = re.compile(r"\{([^{}]*)\\(over|choose)(?![A-Za-z])([^{}]*)\}")
_ANGLES = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\{\\circ\}")
_OUT_OF = re.compile(r"(?<![A-Za-z\d)}])(?:\{\})?[_^](?:\{(\w+)\}|(\w))\s*C_(?:\{(\w+)\}|(\w))")
_STACKED = {"over": "frac", "choose": "binom"}
_TAIL = ".,;: "


def normalise(text: str, *, is_list: bool = False) -> str:
    """The answer in one spelling: plain minus signs and digits, no ``$``, no spacing commands, no thousands separators.

    ``is_list`` says that commas and blanks part the elements of a list, so ``100,200`` stays two numbers. Linear in the
    length of the text but for nested brackets; whoever calls bounds that length.
    """
    if text.isascii() and (text.isdigit() or (len(text) == 1 and text.isalpha())):
        return text
    if not (text.isascii() and text.isprintable()):
        text = to_ascii(text)
    text = text.strip()
    if text.startswith("**") and text.endswith("**"):
        text = text.strip("*")
    if "\\" in text:
        text = _DOUBLED.sub(r"\\", text)
        text = commands(_SAFE_THOUSANDS.sub("", text))
    elif "{,}" in text or "'" in text:
        text = _SAFE_THOUSANDS.sub("", text)
    text = repeating_decimals(text).replace("...", "\\ldots ")
    text = _TO_NOTHING.sub("", _SEPARATE_FORMULAS.sub(", ", text) if "$" in text else text)
    text = _without_label(_TO_BLANK.sub(" ", text).strip())
    if not is_list:
        text = _without_thousands(text)
    return plain_numeral(_tidy(_rewritten(text)))


def _without_label(text: str) -> str:
    """What follows ``Answer:`` or ``\\text{The answer is }``, also where it stands in the same ``\\text{}``."""
    text = _QUALIFIER.sub("", text)
    whole = _ONLY_WORDS.fullmatch(text)
    for words in [text, whole[1]] if whole else [text]:
        if (label := _LABEL.match(words)) and not _DENIAL.search(label[0]):
            return words[label.end() :]
    return text


def _without_thousands(text: str) -> str:
    """Where the text holds one number with separators, that number without them. They must be one and the same."""
    if (found := _PLAIN_THOUSANDS.fullmatch(text)) and not found["before"].endswith(("\\{", "^{", "_{", "^", "_")):
        number = found["number"].replace(found[3], "")
        return found["before"] + number + (found["rest"] or "") + found["after"]
    if found := _DOTTED_THOUSANDS.fullmatch(text):
        return found[1].replace(".", "") + (f".{found[2]}" if found[2] else "")
    return text


def _rewritten(text: str) -> str:
    """Percent signs, comparisons, powers and arguments, and what Python writes in another way."""
    text = _BARE_PERCENT.sub(r"\\%", _PERCENT.sub(r"\\%", text))
    if "=" in text:
        for pattern, replacement in _COMPARISONS:
            text = pattern.sub(replacement, text)
    if "e" in text or "E" in text:
        text = _SCIENTIFIC.sub(_power_of_ten, text)
    text = python_calls(text)
    if "\\" in text:
        text = _OVER.sub(lambda found: f"\\{_STACKED[found[2]]}{{{found[1].strip()}}}{{{found[3].strip()}}}", text)
        text = arguments_in_braces(text)
    if "^" in text or "_" in text:
        text = powers_in_braces(_CIRCLE.sub(r"^{\\circ}", text))
        text = found[1] if (found := _BASE_TEN.fullmatch(text.strip())) else text
    if "C_" in text:
        text = _OUT_OF.sub(r"\\binom{\1\2}{\3\4}", text)  # `{}_{10}C_{3}`
    if "mod" in text:
        text = _MODULO.sub(lambda found: f"\\pmod{{{(found[1] or found[2] or found[3]).strip()}}}", text)
    if "C" in text:
        text = _CHOSEN.sub(_chosen, text)
    if "\\circ" in text and _ANGLES.search(text):
        text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    return text.replace("{,}", ",")


def _chosen(found: re.Match[str]) -> str:
    """``C_{10}^{3}`` and ``C(10,3)``, which are numbers where the lower one is not the larger."""
    upper, lower = found[1] or found[3], found[2] or found[4]
    return f"\\binom{{{upper}}}{{{lower}}}" if int(lower) <= int(upper) < 10_000 else found[0]


def _power_of_ten(found: re.Match[str]) -> str:
    return f"{found[1]}\\times 10^{{{'-' if found[2] == '-' else ''}{int(found[3])}}}"


def _tidy(text: str) -> str:
    text = _TEXT_EDGES.sub(lambda edge: edge[0].strip(), text)
    text = _NEEDLESS_BLANK.sub("", _TO_BLANK.sub(" ", text))
    text = text.lstrip(",;:= ").rstrip(_TAIL + "\\")  # `185\`
    while (content := inside(text, "{", "}")) is not None:
        text = content.strip()
    return text
