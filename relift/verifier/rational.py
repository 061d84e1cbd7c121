"""Numbers that can be compared exactly, without any parser of mathematics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_CHARS = 600
"""A longer text is not read as a number here; int() of the largest is then still instant."""

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_GROUP = rf"(?:\{{[+-]?{_NUMBER}\}}|\d)"
_INTEGER = re.compile(r"[+-]?\d+")
_FORMS = re.compile(
    rf"(?P<decimal>{_NUMBER})"
    rf"|(?P<over>{_NUMBER})/(?P<under>{_NUMBER})"
    rf"|(?P<whole>\d+)?\\frac ?(?P<top>{_GROUP}) ?(?P<bottom>{_GROUP})"
    r"|(?P<mixed>\d+) (?P<part>\d+)/(?P<parts>\d+)"
    r"|(?P<head>\d*)\.(?P<fixed>\d*)\\overline\{(?P<period>\d+)\}"
    rf"|(?:(?P<factor>{_NUMBER})(?:\\times|\\cdot|\*) ?)?"
    r"(?P<base>\d{1,4})\^(?:\{(?P<exponent>-?\d{1,3})\}|(?P<digit>\d))"
)


@dataclass(frozen=True, slots=True)
class Exact:
    """An exact number, e.g. ``50\\%`` as number 50 and is_percent True."""

    number: Fraction
    is_percent: bool = False

    @property
    def value(self) -> Fraction:
        return self.number / 100 if self.is_percent else self.number

    def equals_gold(self, gold: Exact) -> bool:
        """By value; either side may also leave out the percent sign (50 % for 50, and 50 for 50 %; 50 is not 0.5)."""
        return self.value == gold.value or (self.is_percent != gold.is_percent and self.number == gold.number)


def exact_value(text: str) -> Exact | None:
    """The number that a normalised text spells, or None.

    Reads integers, decimals, repeating decimals, ``a/b``, ``\\frac{a}{b}``, mixed numbers (sums, never products),
    small integer powers, and each of them with a sign before it and a percent sign after it.
    """
    if len(text) > MAX_CHARS:
        return None
    if _INTEGER.fullmatch(text):
        return Exact(Fraction(int(text)))
    is_percent = text.endswith("\\%")
    unsigned = text.removesuffix("\\%")
    sign = -1 if unsigned.startswith("-") else 1
    found = _FORMS.fullmatch(unsigned.lstrip("+-") if unsigned[:1] in "+-" and unsigned[1:2] not in "+-" else unsigned)
    if found is None:
        return None
    try:
        return Exact(sign * _read(found), is_percent)
    except ZeroDivisionError:
        return None


def _read(found: re.Match[str]) -> Fraction:
    group = found.groupdict()
    if group["decimal"]:
        return Fraction(group["decimal"])
    if group["over"]:
        return Fraction(group["over"]) / Fraction(group["under"])
    if group["top"]:
        part = Fraction(group["top"].strip("{}")) / Fraction(group["bottom"].strip("{}"))
        return int(group["whole"] or 0) + part
    if group["mixed"]:
        return int(group["mixed"]) + Fraction(int(group["part"]), int(group["parts"]))
    if group["period"]:
        fixed, period = group["fixed"], group["period"]
        nines = (10 ** len(period) - 1) * 10 ** len(fixed)
        return Fraction(f"{group['head'] or 0}.{fixed or 0}") + Fraction(int(period), nines)
    power = Fraction(int(group["base"])) ** int(group["exponent"] or group["digit"])
    return Fraction(group["factor"] or 1) * power
