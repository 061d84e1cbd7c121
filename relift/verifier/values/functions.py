"""Functions that are computed where they can be: factorials, binomials, logarithms."""

from __future__ import annotations

import math
from fractions import Fraction

from relift.verifier.values import samples
from relift.verifier.values.exact import Value, function, number
from relift.verifier.values.polynomials import UNIT, TooMuch, atom, prime_powers
from relift.verifier.values.samples import Number, Sample

MAX_FACTORIAL = 200
MAX_BINOMIAL = 2_000
_BARE_LOGARITHM = "\\log"
"""``\\log x`` over ``\\ln x``: nobody says which base it has, but ``\\frac{\\log 8}{\\log 2}`` is 3 in all of them."""


def factorial(value: Value) -> Value:
    whole = value.rational
    if whole is None:
        return function("!", [value], _factorial_sample)
    if whole.denominator != 1 or whole < 0:
        raise TooMuch("a factorial of no whole number")
    if whole > MAX_FACTORIAL:
        return function("!", [value], None)
    return number(math.factorial(int(whole)))


def _factorial_sample(one: Number) -> Number:
    if not isinstance(one, Fraction) or one.denominator != 1 or not 0 <= one <= MAX_FACTORIAL:
        raise ValueError
    return Fraction(math.factorial(int(one)))


def binomial(upper: Value, lower: Value) -> Value:
    n, k = upper.rational, lower.rational
    if n is None or k is None or n > MAX_BINOMIAL:
        return function("binom", [upper, lower], _binomial_sample)
    return number(_choose(n, k))


def _binomial_sample(n: Number, k: Number) -> Number:
    if not (isinstance(n, Fraction) and isinstance(k, Fraction)):
        raise ValueError
    return _choose(n, k)


def _choose(n: Fraction, k: Fraction) -> Fraction:
    if n.denominator != 1 or k.denominator != 1 or not 0 <= k <= n <= MAX_BINOMIAL:
        raise TooMuch("a binomial of large numbers, or of none")
    return Fraction(math.comb(int(n), int(k)))


def logarithm(argument: Value, base: Value | None) -> Value:
    """``base`` None is the one of a bare ``\\log``."""
    natural = natural_logarithm(argument)
    if base is not None:
        return natural.over(natural_logarithm(base))
    ten = Sample(1 / math.log(10), 2.0**-50)
    return natural.times(Value(atom(_BARE_LOGARITHM), UNIT, ten, is_complete=False))


def natural_logarithm(argument: Value) -> Value:
    """Of a product of powers of primes and of e the sum of their logarithms; of others held by name.

    No sum here is complete: whether logarithms of primes have other relations than those of whole numbers is not known.
    """
    if argument.bottom != UNIT or len(argument.top) != 1:
        return function("\\ln", [argument], math.log)
    ((monomial, coefficient),) = argument.top.items()
    powers = dict(monomial)
    if coefficient <= 0 or not all(name == "e" or name.isdigit() for name in powers):
        return function("\\ln", [argument], math.log)
    if any(isinstance(power, tuple) for power in powers.values()):
        return function("\\ln", [argument], math.log)
    total = number(powers.pop("e", Fraction(0)))
    for whole, sign in ((coefficient.numerator, 1), (coefficient.denominator, -1)):
        for prime, times in prime_powers(whole).items():
            powers[prime] = powers.get(prime, Fraction(0)) + sign * times
    for prime, power in powers.items():
        one = Value(
            atom(f"\\ln {prime}"), UNIT, samples.applied(math.log, [Sample(Fraction(prime))]), is_complete=False
        )
        total = total.plus(number(power).times(one))
    return total
