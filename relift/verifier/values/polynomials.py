"""Sums of products with rational coefficients, in one form: equal values have equal dictionaries.

A monomial is a sorted tuple of (atom, exponent). Atoms are letters, ``\\pi``, ``e``, ``i``, primes (``("2", 1/2)`` is
the root of two) and, as text, functions that are not looked into. Roots of different square-free products, powers of pi
and letters are linearly independent over the rationals, so two sums without such functions are equal if and only if
their dictionaries are. An exponent is a number or, in ``2^{n-1}``, itself a sum: the tuple of its items.
"""

from __future__ import annotations

from fractions import Fraction
from hashlib import blake2b
from typing import Any

Exponent = Any  # int | Fraction | tuple of the items of a sum
Monomial = tuple[tuple[str, Exponent], ...]
Sum = dict[Monomial, Fraction]

MAX_NAME_CHARS = 200
MAX_TERMS = 150
MAX_BITS = 20_000
"""Of a numerator: a number of about 6,000 digits."""

_SIEVED = 3_000
_PRIMES = sorted(set(range(2, _SIEVED)) - {m for n in range(2, 55) for m in range(2 * n, _SIEVED, n)})
ONE: Monomial = ()
UNIT: Sum = {ONE: Fraction(1)}
"""The sum 1; compared by identity first, so nobody may change it."""


class TooMuch(Exception):
    """The value is too large, or of a kind that is not computed with here."""


def constant(number: Fraction | int) -> Sum:
    return {ONE: Fraction(number)} if number else {}


def atom(name: str) -> Sum:
    return {((name, Fraction(1)),): Fraction(1)}


def add(one: Sum, other: Sum) -> Sum:
    total = dict(one)
    for monomial, coefficient in other.items():
        new = total.get(monomial, 0) + coefficient
        if new:
            total[monomial] = new
        else:
            del total[monomial]
    return total


def scale(one: Sum, factor: Fraction | int) -> Sum:
    return {monomial: coefficient * factor for monomial, coefficient in one.items()} if factor else {}


def multiply(one: Sum, other: Sum) -> Sum:
    if one is UNIT or other is UNIT:
        return other if one is UNIT else one
    if len(one) * len(other) > 20 * MAX_TERMS:
        raise TooMuch("too many terms")
    product: Sum = {}
    for left, left_coefficient in one.items():
        for right, right_coefficient in other.items():
            monomial, factor = _monomial_product(left, right)
            new = product.get(monomial, 0) + left_coefficient * right_coefficient * factor
            if new:
                product[monomial] = new
            else:
                product.pop(monomial, None)
    if len(product) > MAX_TERMS or any(_bits(coefficient) > MAX_BITS for coefficient in product.values()):
        raise TooMuch("too many terms or digits")
    return product


def _bits(number: Fraction) -> int:
    return number.numerator.bit_length() + number.denominator.bit_length()


def _monomial_product(left: Monomial, right: Monomial) -> tuple[Monomial, Fraction]:
    if not left or not right:
        return left or right, Fraction(1)
    exponents = dict(left)
    for name, exponent in right:
        exponents[name] = add_exponents(exponents[name], exponent) if name in exponents else exponent
    return reduced(exponents)


def reduced(exponents: dict[str, Exponent]) -> tuple[Monomial, Fraction]:
    """The monomial in its one form, and the rational number that whole powers of primes and of ``i`` are."""
    factor, kept = Fraction(1), {}
    for name, exponent in exponents.items():
        rest = exponent
        if name == "i":
            rest = _power_of_i(exponent)
            factor, rest = (-factor, rest - 2) if rest >= 2 else (factor, rest)
        elif name.isdigit():
            whole, rest = _whole_part(exponent)
            if abs(whole) * int(name).bit_length() > MAX_BITS:
                raise TooMuch("too many digits")
            factor *= Fraction(int(name)) ** whole
        if rest:
            kept[name] = rest if isinstance(rest, tuple) else Fraction(rest)
    return tuple(sorted(kept.items(), key=lambda item: item[0])), factor


def _power_of_i(exponent: Exponent) -> int:
    if isinstance(exponent, tuple) or exponent != int(exponent):
        raise TooMuch("a power of i that is no whole number")
    return int(exponent) % 4


def _whole_part(exponent: Exponent) -> tuple[int, Exponent]:
    if isinstance(exponent, tuple):
        items = dict(exponent)
        shift = items.get(ONE, Fraction(0))
        whole = shift.numerator // shift.denominator
        return whole, as_exponent(add(items, constant(-whole)))
    fraction = Fraction(exponent)
    whole = fraction.numerator // fraction.denominator
    return whole, fraction - whole


def add_exponents(one: Exponent, other: Exponent) -> Exponent:
    if isinstance(one, tuple) or isinstance(other, tuple):
        return as_exponent(add(_exponent_sum(one), _exponent_sum(other)))
    return one + other


def multiply_exponents(one: Exponent, other: Exponent) -> Exponent:
    if isinstance(one, tuple) or isinstance(other, tuple):
        return as_exponent(multiply(_exponent_sum(one), _exponent_sum(other)))
    return one * other


def _exponent_sum(exponent: Exponent) -> Sum:
    return dict(exponent) if isinstance(exponent, tuple) else constant(exponent)


def without_negative_powers(one: Sum) -> Sum:
    """The sum times what clears its letters of negative exponents: of ``y - 1/x`` it is ``xy - 1``."""
    lowest: dict[str, Exponent] = {}
    for monomial in one:
        for name, exponent in monomial:
            if not isinstance(exponent, tuple) and not name.isdigit() and exponent < lowest.get(name, 0):
                lowest[name] = exponent
    if not lowest:
        return one
    factor, _ = reduced({name: -exponent for name, exponent in lowest.items()})
    return multiply(one, {factor: Fraction(1)})


def as_exponent(total: Sum) -> Exponent:
    """A sum as an exponent: a number where it is one, else the tuple of its items in one order."""
    if not total:
        return Fraction(0)
    if len(total) == 1 and ONE in total:
        return total[ONE]
    return tuple(sorted(total.items(), key=key))


def key(item: Any) -> str:
    """A text that is equal for equal items; the order it gives means nothing."""
    return repr(item)


def short(text: str) -> str:
    """The text, or its digest where it is long: the names of functions in functions would double at every level."""
    return text if len(text) <= MAX_NAME_CHARS else blake2b(text.encode(), digest_size=16).hexdigest()


def prime_powers(number: int) -> dict[str, int]:
    """The factorisation of a positive whole number; TooMuch where two large primes may be in it."""
    powers: dict[str, int] = {}
    for prime in _PRIMES:
        while number % prime == 0:
            number //= prime
            powers[str(prime)] = powers.get(str(prime), 0) + 1
        if prime * prime > number:
            break
    if number > 1:
        if number > _SIEVED**2:
            raise TooMuch("a number too large to factorise")
        powers[str(number)] = powers.get(str(number), 0) + 1
    return powers
