"""What single characters outside ASCII stand for in an answer: an explicit map, never NFKC.

NFKC would turn ``x²`` into ``x2`` and circled digits into digits. A character that is not in the map stays as it is,
and an answer that still holds one is mathematics to nobody.
"""

from __future__ import annotations

import re
import unicodedata

# Where the ten digits of a script begin: Arabic, Persian, N'Ko, Devanagari, Bengali, Gurmukhi, Gujarati, Oriya, Tamil,
# Telugu, Kannada, Malayalam, Thai, Lao, Tibetan, Burmese, Khmer, Mongolian, full-width, and five mathematical styles.
_ZEROS = (
    *(0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20),
    *(0x1040, 0x17E0, 0x1810, 0xFF10, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6),
)
_DIGITS = {chr(zero + digit): str(digit) for zero in _ZEROS for digit in range(10)}
# Mathematical alphabets that only change the looks of a letter; script, fraktur, double-struck are other symbols.
_ALPHABETS = (0x1D400, 0x1D434, 0x1D468, 0x1D5A0, 0x1D5D4, 0x1D608, 0x1D63C, 0x1D670)
_LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS = {chr(first + index): letter for first in _ALPHABETS for index, letter in enumerate(_LATIN)}
_FULL_WIDTH = {chr(0xFEE0 + ord(char)): char for char in _LATIN + "!()*+,-./:;<=>[]|~"}
_GREEK_NAMES = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi . pi rho . sigma tau upsilon phi chi psi omega
"""
_GREEK_CAPITALS = "gamma delta theta lambda xi pi sigma upsilon phi psi omega"
_GREEK = {
    chr(first + index): f"\\{name.capitalize() if first == 0x391 else name} "
    for first in (0x391, 0x3B1)
    for index, name in enumerate(_GREEK_NAMES.split())
    if name != "." and (first == 0x3B1 or name in _GREEK_CAPITALS.split())
}
_FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5),
    "⅙": (1, 6), "⅚": (5, 6), "⅐": (1, 7), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8), "⅑": (1, 9),
    "⅒": (1, 10),
}  # fmt: skip
_SYMBOLS = {
    **dict.fromkeys("−–—‒―﹣‐‑˗➖", "-"),
    **dict.fromkeys("×✕✖⨯", "\\times "),
    **dict.fromkeys("·⋅∙•‧・", "\\cdot "),
    **dict.fromkeys("÷∕⁄／", "/"),
    **dict.fromkeys("∗＊﹡", "*"),
    **dict.fromkeys("≤⩽≦", "\\le "),
    **dict.fromkeys("≥⩾≧", "\\ge "),
    **dict.fromkeys("′’‘ʹ", "'"),
    **dict.fromkeys("″“”„«»「」『』", '"'),
    **dict.fromkeys("⟨〈〈", "\\langle "),
    **dict.fromkeys("⟩〉〉", "\\rangle "),
    **dict.fromkeys("°º", "^{\\circ}"),
    **dict.fromkeys("％﹪٪", "\\%"),
    **dict.fromkeys("＄﹩", "\\$"),
    **dict.fromkeys("¥￥元", "\\text{ yuan }"),
    "≠": "\\ne ", "≈": "\\approx ", "≅": "\\cong ", "≡": "\\equiv ", "±": "\\pm ", "∓": "\\mp ", "＋": "+", "﹢": "+",
    "∛": "\\sqrt[3] ", "∜": "\\sqrt[4] ", "∞": "\\infty ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ", "∉": "\\notin ",
    "∅": "\\emptyset ", "∖": "\\setminus ", "→": "\\to ", "⇒": "\\implies ", "∧": "\\land ", "∨": "\\lor ",
    "∠": "\\angle ",
    "∑": "\\sum ", "∏": "\\prod ", "∫": "\\int ", "⌊": "\\lfloor ", "⌋": "\\rfloor ", "⌈": "\\lceil ", "⌉": "\\rceil ",
    "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℕ": "\\mathbb{N}", "ℚ": "\\mathbb{Q}", "ℂ": "\\mathbb{C}", "ℎ": "h",
    "ℓ": "\\ell ", "ϕ": "\\phi ", "ϵ": "\\epsilon ", "ϑ": "\\theta ", "ς": "\\sigma ", "µ": "\\mu ",
    "€": "\\text{ euros }", "£": "\\text{ pounds }", "₹": "\\text{ rupees }", "¢": "\\text{ cents }",
    "［": "[", "］": "]", "｛": "\\{", "｝": "\\}", "【": "[", "】": "]", "（": "(", "）": ")", "＾": "^", "＿": "_",
    "。": ".", "．": ".", "｡": ".", "，": ",", "、": ",", "､": ",", "；": ";", "：": ":", "∶": ":", "٫": ".", "٬": ",",
    "＜": "<", "＞": ">", "＝": "=", "﹦": "=", "｜": "|", "∣": "|", "…": "\\ldots ", "⋯": "\\ldots ",
}  # fmt: skip
_MAP = {
    **_DIGITS,
    **_LETTERS,
    **_FULL_WIDTH,
    **_GREEK,
    **{sign: f"\\frac{{{over}}}{{{under}}}" for sign, (over, under) in _FRACTIONS.items()},
    **_SYMBOLS,
}
_TABLE = str.maketrans(_MAP)

_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱˣ", "0123456789+-nix", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n", strict=True))
_RAISED_RUN = re.compile(f"[{''.join(_RAISED)}]+")
_LOWERED_RUN = re.compile(f"[{''.join(_LOWERED)}]+")
_ROOT_RUN = re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z])")  # √23 is the root of 23, though \sqrt 23 would be √2·3


def to_ascii(text: str) -> str:
    """The text with every character of the map replaced; blanks of all kinds become plain, invisible ones go."""
    text = _without_control(text)
    text = _RAISED_RUN.sub(lambda run: f"^{{{''.join(_RAISED[char] for char in run[0])}}}", text)
    text = _LOWERED_RUN.sub(lambda run: f"_{{{''.join(_LOWERED[char] for char in run[0])}}}", text)
    return _ROOT_RUN.sub(r"\\sqrt{\1}", text.translate(_TABLE)).replace("√", "\\sqrt ")


def _without_control(text: str) -> str:
    kept = []
    for char in text:
        if char.isspace():
            kept.append(" ")  # no-break and thin spaces too: they part thousands
        elif unicodedata.category(char) not in {"Cc", "Cf", "Cs"} and not "\ufe00" <= char <= "\ufe0f":
            kept.append(char)
    return "".join(kept)
