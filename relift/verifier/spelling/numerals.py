"""Numbers that are written with more than digits and a point: repeating decimals, ``5 million``."""

from __future__ import annotations

import re
from fractions import Fraction

_PERIOD = re.compile(
    r"(?P<head>\d{0,30})\.(?P<fixed>\d{0,30})"
    r"(?:\\(?:overline|bar|dot|overbar|widehat|widebar)\s*(?:\{(?P<bar>\d{1,30})\}|(?P<digit>\d)(?!\d))|\((?P<bracket>\d{1,30})\))"
    r"(?:\s*(?:\\ldots|\.\.\.))?"
)
_DOTTED = re.compile(
    r"(?P<head>\d{0,30})\.(?P<fixed>\d{0,10}?)"
    r"(?:(?P<period>\d{1,10}?)(?P=period){2,10}|(?P<long>\d{3,10}?)(?P=long){1,10})\s*(?:\\ldots|\.\.\.)"
)
_MULTIPLIERS = {"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
MULTIPLIERS = {**_MULTIPLIERS, **{f"{word}s": value for word, value in _MULTIPLIERS.items()}}


_UNDER_TWENTY = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBER_WORDS = {word: number for number, word in enumerate(_UNDER_TWENTY)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}
_IN_WORDS = re.compile(r"(?:\\text\{\s*)?([A-Za-z]+)(?:[ -]([A-Za-z]+))?\s*\}?\.?")
_ORDINAL = re.compile(
    r"(\d+)\s*(?:\^\s*)?\{?(?:\\text\{)?\s*(?:st|nd|rd|th)(?![A-Za-z])\s*(?:\}\s*)*((?:\\text\{)?\s*[A-Za-z]*\s*\}?)\.?",
    re.IGNORECASE,
)
_OF_ORDINALS = frozenset(
    [
        "grade",
        "place",
        "floor",
        "day",
        "term",
        "position",
        "year",
        "month",
        "week",
        "century",
        "row",
        "column",
        "number",
        "letter",
    ]
)


def plain_numeral(text: str) -> str:
    """``\\text{twenty-five}`` as 25, ``12^{\\text{th}}`` and ``15th Day`` as their numbers; any other text as it is."""
    if (ordinal := _ORDINAL.fullmatch(text)) is not None:
        word = ordinal[2].replace("\\text{", "").strip("} ").lower()
        return ordinal[1] if not word or word in _OF_ORDINALS else text
    words = _IN_WORDS.fullmatch(text)
    if words is None:
        return text
    first, second = words[1].lower(), (words[2] or "").lower()
    value = _NUMBER_WORDS.get(first)
    if value is None:
        return text
    if not second:
        return str(value)
    more = _NUMBER_WORDS.get(second, 0)
    return str(value + more) if value >= 20 and value % 10 == 0 and 0 < more < 10 else text


def repeating_decimals(text: str) -> str:
    """Every repeating decimal as the fraction it is: ``0.\\overline{3}``, ``0.1\\dot6``, ``0.(27)``, ``0.333...``."""
    if "." not in text:
        return text
    text = _PERIOD.sub(lambda found: _fraction(found, found["bar"] or found["digit"] or found["bracket"]), text)
    return (
        _DOTTED.sub(lambda found: _fraction(found, found["period"] or found["long"]), text)
        if "..." in text or "\\ldots" in text
        else text
    )


def _fraction(found: re.Match[str], period: str) -> str:
    head, fixed = found["head"] or "0", found["fixed"]
    nines = (10 ** len(period) - 1) * 10 ** len(fixed)
    value = Fraction(int(head + fixed), 10 ** len(fixed)) + Fraction(int(period), nines)
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
