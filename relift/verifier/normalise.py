"""One spelling for answers that differ only in how they are written.

An explicit map of characters, never NFKC: that would turn ``x²`` into ``x2``. The result is LaTeX again, so that it can
be compared as a string and parsed as mathematics alike.
"""

from __future__ import annotations

import re
import unicodedata

_FULL_WIDTH = {0xFF00 + code: chr(0x20 + code) for code in (*range(0x08, 0x1B), 0x1D)}  # ( ) * + , - . / 0..9 : =
_DIGITS = {first + digit: str(digit) for first in (0x0660, 0x06F0) for digit in range(10)}
_FRACTIONS = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅛": (1, 8)}
_SYMBOLS = {
    "−": "-", "–": "-", "﹣": "-", "‐": "-", "‑": "-",
    "²": "^{2}", "³": "^{3}", "°": "^{\\circ}", "％": "\\%",
    "√": "\\sqrt ", "π": "\\pi ", "∞": "\\infty ", "×": "\\times ", "·": "\\cdot ", "⋅": "\\cdot ", "÷": "/",
    "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ", "∅": "\\emptyset ",
    "［": "[", "］": "]", "｛": "\\{", "｝": "\\}", "。": ".",
}  # fmt: skip
_MAP = str.maketrans(
    {
        **{chr(code): value for code, value in (_FULL_WIDTH | _DIGITS).items()},
        **{sign: f"\\frac{{{over}}}{{{under}}}" for sign, (over, under) in _FRACTIONS.items()},
        **_SYMBOLS,
    }
)

# The separators of thousands must be one and the same, and are looked for before blanks go: `32, 349` is a list.
_THOUSANDS = re.compile(r"\\?\$?\s*([+-]?)\s*(\d{1,3}(?:(,|\{,\}|\\,|\\!| )\d{3})(?:\3\d{3})*)(\.\d+)?((?:\\?[%$])?)")
_LABEL = re.compile(r"^(?:\\text\{[^{}]*:\s*\}|(?:the )?(?:final )?answer(?: is)?\s*:)\s*", re.IGNORECASE)
_REWRITES = [
    (re.compile(r"\\(?:left|right)\.|\\(?:left|right|[bB]igg?[lrm]?|displaystyle)(?![a-zA-Z])"), ""),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:mathrm|text|operatorname)\{([eid])\}"), r"\1"),
    (re.compile(r"\\(?:quad|qquad)(?![a-zA-Z])|(?<!\\)\\[,;:! ]|~"), " "),
    (re.compile(r"\\\$|\$|(?<!\\)\\[()\[\]]"), ""),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"(?<=\d)\s*(?:\\text\{\s*)?(?:percent(?:age)?|pct)\b\s*\}?"), r"\\%"),
    (re.compile(r"(?<!\\)%"), r"\\%"),
    (re.compile(r"\^\\circ(?![a-zA-Z])"), r"^{\\circ}"),
    (re.compile(r"\s+"), " "),
    # `1 2`, `\pi x` and words keep their blank, and so does `32, 349`, which is no number.
    (re.compile(r"(?<![0-9A-Za-z]) (?!(?<=\d, )\d{3}(?!\d))| (?![0-9A-Za-z])"), ""),
]
_TAIL = ".,;: "


def normalise(text: str) -> str:
    """The answer in one spelling: plain minus signs and digits, no ``$``, no spacing commands, no thousands separators.

    Linear in the length of the text; whoever calls bounds that length.
    """
    if text.isalnum() and text.isascii():
        return text
    if not text.isascii():
        text = text.translate(_MAP)
    text = _without_control(text).strip()
    if separated := _THOUSANDS.fullmatch(text):
        sign, digits, separator, decimals, percent = separated.groups()
        return sign + digits.replace(separator, "") + (decimals or "") + ("\\%" if "%" in percent else "")
    text = _LABEL.sub("", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = text.rstrip(_TAIL)
    if text.endswith("\\") and not text.endswith("\\\\"):
        text = text[:-1].rstrip(_TAIL)  # `185\`
    return text


def _without_control(text: str) -> str:
    if text.isprintable() and text.isascii():
        return text
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if char.isspace():
            kept.append(" ")  # no-break and thin spaces too: they part thousands
        elif category not in {"Cc", "Cf", "Cs"}:
            kept.append(char)
    return "".join(kept)
