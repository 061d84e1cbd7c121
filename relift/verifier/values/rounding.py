"""Whether a gold that was rounded when it was written down is the rounded value of an exact answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from relift.verifier.rational import exact_value
from relift.verifier.values.reader import read

MIN_CUT_DIGITS = 3
"""Of a gold that may also have been cut off: 0.5 for 0.59 would be too much."""

_ROUNDED = re.compile(r"([+-]?)(\d{0,30})\.(\d{1,30})(\\%)?")
_DECIMAL = re.compile(r"[+-]?\d*\.\d+")


def within_last_digit(gold: str, answer: str) -> bool:
    """Whether the value of the answer, rounded or cut off to the decimals of the gold, is the gold; both normalised.

    Only a gold with decimals says how it was rounded. An answer in decimals must have more of them than the gold, and
    round to it: 3.14159 for 3.1416, but not 118 % for 117.95 %. The percent sign may be left out on either side.
    """
    rounded = _ROUNDED.fullmatch(gold)
    if rounded is None:
        return False
    target, decimals = Fraction(f"{rounded[1]}{rounded[2] or '0'}.{rounded[3]}"), len(rounded[3])
    may_be_cut = len((rounded[2] + rounded[3]).lstrip("0")) >= MIN_CUT_DIGITS
    return any(
        all(_is_rounded(bound, target, decimals, may_be_cut and one.decimals is None) for bound in (one.low, one.high))
        for one in _worths(answer, is_percent=rounded[4] is not None)
        if one.decimals is None or one.decimals > decimals
    )


@dataclass(frozen=True, slots=True)
class _Worth:
    """What an answer may be worth in the gold's terms, between two bounds."""

    low: Fraction
    high: Fraction
    decimals: int | None = None
    """Of an answer in decimals."""


def _worths(answer: str, *, is_percent: bool) -> list[_Worth]:
    """None where it cannot be told; two where the percent sign stands on one side only."""
    bare = answer.removesuffix("\\%")
    shift = 2 * (is_percent - (bare != answer))
    shifts = {0, shift}
    if exact := exact_value(bare):
        decimals = len(bare.partition(".")[2]) if _DECIMAL.fullmatch(bare) else None
        return [
            _Worth(exact.number * Fraction(10) ** by, exact.number * Fraction(10) ** by, decimals and decimals - by)
            for by in shifts
        ]
    value = read(bare)
    if value is None or value.has_letters or value.sample is None or isinstance(value.sample.number, complex):
        return []
    middle, doubt = Fraction(value.sample.number), Fraction(value.sample.doubt)
    return [_Worth((middle - doubt) * Fraction(10) ** by, (middle + doubt) * Fraction(10) ** by) for by in shifts]


def _is_rounded(value: Fraction, gold: Fraction, decimals: int, may_be_cut: bool) -> bool:
    unit = Fraction(1, 10**decimals)
    if abs(value - gold) <= unit / 2:
        return True
    return may_be_cut and value * gold >= 0 and 0 <= abs(value) - abs(gold) < unit
