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
