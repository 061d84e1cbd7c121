"""The value of an expression where every letter is a fixed whole number, with a bound on what floats did to it.

Two samples that are apart belong to different values; two that agree prove nothing. Whole numbers, since
``\\lfloor n/2\\rfloor`` and ``n!`` mean nothing elsewhere.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from zlib import crc32

Number = Fraction | float | complex

MAX_BITS = 80_000
SURE = 1e-7
"""Samples that differ by more, relatively, are of different values."""
_EPSILON = 2.0**-50
_SAFETY = 1e4
_CONSTANTS: dict[str, Number] = {"\\pi": math.pi, "e": math.e, "i": 1j}
_LETTERS = "nNdDmMpPabcABCuvwxyzqQkKrRstTjlfghoFGHIJLOEUVWXYZS"
_POSITIONS = {
    letter: Fraction(position) for letter, position in zip(_LETTERS, range(61, 61 - len(_LETTERS), -1), strict=True)
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A number; exact where it is a fraction."""

    number: Number
    doubt: float = 0.0
    """How far the true number may be."""

    @property
    def position(self) -> float | None:
        """On the line; None where the number is complex."""
        return None if isinstance(self.number, complex) else float(self.number)


def sample_of(letter: str) -> Sample:
    """Of a letter or of one of the constants pi, e and i."""
    if letter in _CONSTANTS:
        return Sample(_CONSTANTS[letter], 0.0 if letter == "i" else _EPSILON)
    return Sample(_POSITIONS.get(letter) or Fraction(62 + crc32(letter.encode()) % 97))


def negative(one: Sample | None) -> Sample | None:
    return None if one is None else Sample(-one.number, one.doubt)


def plus(one: Sample | None, other: Sample | None) -> Sample | None:
    if one is None or other is None:
        return None
    return _made(lambda: one.number + other.number, lambda: one.doubt + other.doubt)


def times(one: Sample | None, other: Sample | None) -> Sample | None:
    if one is None or other is None:
        return None
    return _made(
        lambda: one.number * other.number,
        lambda: _size(one.number) * other.doubt + _size(other.number) * one.doubt,
    )


def over(one: Sample | None, other: Sample | None) -> Sample | None:
    if one is None or other is None or _is_lost(other):
        return None
    return _made(
        lambda: one.number / other.number,
        lambda: (one.doubt + _size(one.number / other.number) * other.doubt) / _size(other.number),
    )


def power(base: Sample | None, exponent: Sample | None, *, is_root: bool = False) -> Sample | None:
    """``is_root``: odd roots of negative numbers are the real ones."""
    if base is None or exponent is None or _is_lost(base):
        return None

    def raised() -> Number:
        return _power(base.number, exponent.number, is_root)

    def doubt() -> float:
        relative = _size(exponent.number) * (base.doubt / _size(base.number) + _EPSILON)
        relative += (exponent.doubt + _EPSILON) * (1 + abs(cmath.log(complex(base.number))))
        return _size(raised()) * relative

    return _made(raised, doubt)


def applied(compute: Callable[..., Number] | None, arguments: list[Sample | None]) -> Sample | None:
    """Of a function; where its argument is in doubt, so is its value, by what it changes there."""
    given = [one for one in arguments if one is not None]
    if compute is None or len(given) < len(arguments):
        return None

    def value() -> Number:
        return compute(*(one.number for one in given))

    def doubt() -> float:
        if not any(one.doubt for one in given):
            return 0.0
        return _size(compute(*(one.number + 1e3 * one.doubt for one in given)) - value())

    return _made(value, doubt)


def _made(compute: Callable[[], Number], doubt: Callable[[], float]) -> Sample | None:
    try:
        number = compute()
        if isinstance(number, Fraction):
            is_small = number.numerator.bit_length() + number.denominator.bit_length() <= MAX_BITS
            return Sample(number) if is_small else None
        return Sample(number, doubt() + _EPSILON * abs(number)) if cmath.isfinite(number) else None
    except (ArithmeticError, ValueError, TypeError):
        return None


def _size(number: Number) -> float:
    return abs(complex(number))


def _is_lost(one: Sample) -> bool:
    """Whether the number may be zero for all that is known; an exact zero is for its user to refuse."""
    return one.doubt > 0 and _size(one.number) <= _SAFETY * one.doubt


def _power(base: Number, exponent: Number, is_root: bool) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            if (base.numerator.bit_length() + base.denominator.bit_length()) * abs(exponent) > MAX_BITS:
                raise OverflowError
            return Fraction(base ** int(exponent))
        if is_root and base < 0 and exponent.denominator % 2:
            sign = -1.0 if exponent.numerator % 2 else 1.0
            return sign * math.pow(-base, exponent)
    if isinstance(base, complex) or isinstance(exponent, complex) or base < 0:
        return complex(base) ** complex(exponent)
    return math.pow(base, exponent)


def are_apart(one: Sample | None, other: Sample | None) -> bool:
    """Whether the two cannot be samples of the same value."""
    if one is None or other is None:
        return False
    if isinstance(one.number, Fraction) and isinstance(other.number, Fraction):
        return one.number != other.number
    try:
        first, second = complex(one.number), complex(other.number)
    except OverflowError:
        return False
    return abs(first - second) > SURE * max(abs(first), abs(second)) + _SAFETY * (one.doubt + other.doubt)
