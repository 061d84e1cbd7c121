"""Values of expressions, exact where that is possible, with a sample that tells most different ones apart.

A value is a quotient of two sums (``polynomials``); its sample is a number (``samples``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from relift.verifier.values import samples
from relift.verifier.values.polynomials import (
    MAX_BITS,
    ONE,
    UNIT,
    Exponent,
    Sum,
    TooMuch,
    add,
    as_exponent,
    atom,
    constant,
    key,
    multiply,
    multiply_exponents,
    prime_powers,
    reduced,
    scale,
    short,
)
from relift.verifier.values.samples import Number, Sample, are_apart

MAX_EXPANDED_POWER = 12
_CONSTANTS = ("\\pi", "e", "i")


@dataclass(frozen=True, slots=True)
class Value:
    """``top / bottom``, e.g. x/2 as ``{x: 1/2}`` over 1."""

    top: Sum
    bottom: Sum
    sample: Sample | None
    """None where it could not be computed."""
    is_complete: bool = True
    """False where a function or a root of a sum is held as a mere name: other sums may then be equal too."""
    has_letters: bool = False
    text: str = ""
    """What it was read from, where it is the value of a whole text."""

    @property
    def rational(self) -> Fraction | None:
        """The value, where it is a rational number."""
        if self.bottom != UNIT:
            return None
        if not self.top:
            return Fraction(0)
        return self.top[ONE] if len(self.top) == 1 and ONE in self.top else None

    def plus(self, other: Value) -> Value:
        if self.bottom is other.bottom or self.bottom == other.bottom:
            top, bottom = add(self.top, other.top), self.bottom
        else:
            top = add(multiply(self.top, other.bottom), multiply(other.top, self.bottom))
            bottom = multiply(self.bottom, other.bottom)
        return self._with(other, top, bottom, samples.plus(self.sample, other.sample))

    def negative(self) -> Value:
        return Value(
            scale(self.top, -1), self.bottom, samples.negative(self.sample), self.is_complete, self.has_letters
        )

    def times(self, other: Value) -> Value:
        top, bottom = multiply(self.top, other.top), multiply(self.bottom, other.bottom)
        return self._with(other, top, bottom, samples.times(self.sample, other.sample))

    def over(self, other: Value) -> Value:
        """TooMuch for a division by zero: it is no value."""
        if not other.top:
            raise TooMuch("a division by zero")
        top, bottom = multiply(self.top, other.bottom), multiply(self.bottom, other.top)
        return self._with(other, top, bottom, samples.over(self.sample, other.sample))

    def _with(self, other: Value, top: Sum, bottom: Sum, sample: Sample | None) -> Value:
        if bottom is not UNIT and len(bottom) == 1:
            top, bottom = (top if bottom == UNIT else multiply(top, _inverse(bottom))), UNIT
        is_complete = self.is_complete and other.is_complete
        return Value(top, bottom, sample, is_complete, self.has_letters or other.has_letters)

    def power(self, exponent: Value, *, is_root: bool = False) -> Value:
        """``is_root``: odd roots of negative numbers are the real ones."""
        number = exponent.rational
        sample = samples.power(self.sample, exponent.sample, is_root=is_root)
        if number is not None and number.denominator == 1:
            top, bottom, is_complete = self._whole_power(int(number))
        elif number is not None:
            top, bottom, is_complete = self._root(number, is_root)
        else:
            try:
                top, bottom, is_complete = self._symbolic_power(exponent)
            except TooMuch:
                return _held_function("^", [self, exponent], sample)
        is_complete = is_complete and self.is_complete and exponent.is_complete
        raised = Value(top, bottom, sample, is_complete, self.has_letters or exponent.has_letters)
        return raised.over(ONE_VALUE) if len(bottom) == 1 else raised

    def _whole_power(self, exponent: int) -> tuple[Sum, Sum, bool]:
        top, bottom = (self.top, self.bottom) if exponent >= 0 else (self.bottom, self.top)
        if not self.top:
            if exponent <= 0:
                raise TooMuch("a power of zero")
            return {}, UNIT, True
        (top, is_expanded), (bottom, is_other) = _raised(top, abs(exponent)), _raised(bottom, abs(exponent))
        return top, bottom, is_expanded and is_other

    def _root(self, exponent: Fraction, is_root: bool) -> tuple[Sum, Sum, bool]:
        if not self.top:
            if exponent < 0:
                raise TooMuch("a division by zero")
            return {}, UNIT, True
        if self.bottom == UNIT and len(self.top) == 1:
            ((monomial, coefficient),) = self.top.items()
            is_product = all(_is_positive(name) or (power == 1 and len(monomial) == 1) for name, power in monomial)
            if is_product and (coefficient > 0 or not self.has_letters):
                return _root_of_product(monomial, coefficient, exponent, is_root), UNIT, True
        top, bottom = _held(self.top, exponent), _held(self.bottom, exponent)
        return top, bottom, False

    def _symbolic_power(self, exponent: Value) -> tuple[Sum, Sum, bool]:
        if exponent.bottom != UNIT or self.bottom != UNIT or len(self.top) != 1:
            raise TooMuch("a power that is not followed")
        ((monomial, coefficient),) = self.top.items()
        named = {name for name, _ in monomial}
        if coefficient <= 0 or "i" in named or any("i" in dict(other) for other in exponent.top):
            raise TooMuch("a power that is not followed")
        by = as_exponent(exponent.top)
        exponents: dict[str, Exponent] = {name: multiply_exponents(power, by) for name, power in monomial}
        for number, sign in ((coefficient.numerator, 1), (coefficient.denominator, -1)):
            for prime, times in prime_powers(number).items():
                powers = add(dict(by), {}) if isinstance(by, tuple) else constant(by)
                exponents[prime] = as_exponent(scale(powers, sign * times))
        reduced_monomial, factor = reduced(exponents)
        return {reduced_monomial: factor}, UNIT, True


def _is_positive(name: str) -> bool:
    return name.isdigit() or name in ("e", "\\pi")


def _inverse(one: Sum) -> Sum:
    ((monomial, coefficient),) = one.items()
    inverse, factor = reduced({name: multiply_exponents(power, Fraction(-1)) for name, power in monomial})
    return {inverse: factor / coefficient}


def _raised(one: Sum, exponent: int) -> tuple[Sum, bool]:
    """A sum to a whole power, and whether it was multiplied out."""
    if len(one) == 1:
        ((monomial, coefficient),) = one.items()
        if (coefficient.numerator.bit_length() + coefficient.denominator.bit_length()) * exponent > MAX_BITS:
            raise TooMuch("too many digits")
        raised, factor = reduced({name: multiply_exponents(power, Fraction(exponent)) for name, power in monomial})
        return {raised: factor * coefficient**exponent}, True
    if exponent > MAX_EXPANDED_POWER or len(one) ** exponent > 5_000:
        return _held(one, Fraction(exponent)), False
    product = UNIT
    for _ in range(exponent):
        product = multiply(product, one)
    return product, True


def _held(one: Sum, exponent: Fraction) -> Sum:
    """A power of a sum as an atom of its own, the common factor of the coefficients taken out."""
    if one == UNIT:
        return one
    factors = list(one.values())
    common = Fraction(
        reduce(math.gcd, (factor.numerator for factor in factors)),
        reduce(math.lcm, (factor.denominator for factor in factors)),
    )
    powers = {name: Fraction(times) * exponent for name, times in prime_powers(common.numerator).items()}
    for name, times in prime_powers(common.denominator).items():
        powers[name] = powers.get(name, Fraction(0)) - Fraction(times) * exponent
    name = f"({short(';'.join(sorted(map(key, scale(one, 1 / common).items()))))})"
    monomial, factor = reduced({**powers, name: exponent})
    return {monomial: factor}


def _root_of_product(
    monomial: tuple[tuple[str, Exponent], ...], coefficient: Fraction, exponent: Fraction, is_root: bool
) -> Sum:
    exponents: dict[str, Exponent] = {name: multiply_exponents(power, exponent) for name, power in monomial}
    sign = Fraction(1)
    if coefficient < 0:
        if exponent.denominator == 2:
            exponents["i"] = Fraction(exponent.numerator)
        elif is_root and exponent.denominator % 2:
            sign = Fraction(-1) ** exponent.numerator
        else:
            raise TooMuch("a root of a negative number")
    for number, direction in ((abs(coefficient.numerator), 1), (coefficient.denominator, -1)):
        for prime, times in prime_powers(number).items():
            exponents[prime] = exponents.get(prime, 0) + times * direction * exponent
    raised, factor = reduced(exponents)
    return {raised: sign * factor}


def number(value: Fraction | int) -> Value:
    return Value(constant(value), UNIT, Sample(Fraction(value)))


ONE_VALUE = number(1)


def letter(name: str) -> Value:
    """A letter, with or without index; ``\\pi``, ``e`` and ``i`` are the constants."""
    return Value(atom(name), UNIT, samples.sample_of(name), has_letters=name not in _CONSTANTS)


def function(name: str, arguments: list[Value], compute: Callable[..., Number] | None) -> Value:
    """A function that is only held by name: equal names of equal arguments are equal."""
    return _held_function(name, arguments, samples.applied(compute, [one.sample for one in arguments]))


def unknown_function(name: str, arguments: list[Value]) -> Value:
    """A function of which nothing is known but its name, so other arguments are another value."""
    held = _held_function(name, arguments, None)
    ((monomial, _),) = held.top.items()
    sample = samples.sample_of(monomial[0][0])
    return Value(held.top, UNIT, sample, all(one.is_complete for one in arguments), True)


def _held_function(name: str, arguments: list[Value], sample: Sample | None) -> Value:
    keys = [f"{sorted(map(key, one.top.items()))}/{sorted(map(key, one.bottom.items()))}" for one in arguments]
    named = atom(f"{name}[{short(';'.join(keys))}]")
    return Value(named, UNIT, sample, False, any(one.has_letters for one in arguments))


def same(gold: Value, answer: Value) -> bool | None:
    """Whether two values are equal; None where only a computer algebra system can tell."""
    try:
        if multiply(gold.top, answer.bottom) == multiply(answer.top, gold.bottom):
            return True
    except TooMuch:
        return False if are_apart(gold.sample, answer.sample) else None
    if gold.is_complete and answer.is_complete:
        return False
    return False if are_apart(gold.sample, answer.sample) else None
