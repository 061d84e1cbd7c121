"""What a worker compares with, beside math-verify: a number within a tolerance, a user's own function.

Runs in worker processes only, where it may hang, fail or fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from relift.records import RewardStatus, Status

MEMORY_REASON = "it needed more memory than a worker may have"
DIGITS = 30
"""To which an expression is evaluated before it is compared with a number."""
MAX_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    status: Status | RewardStatus
    reason: str = ""
    is_spent: bool = False
    """Whether this process should compare nothing more."""
    value: float | None = None
    """Of a reward that was given, and what it is the sum of."""
    parts: Mapping[str, float] | None = None


Compare = Callable[[str, str], Outcome]
"""Of (gold, answer); never raises."""


def number_comparison(
    tolerance: str, parse: Callable[[str], list[Any] | None]
) -> Callable[[str, str], tuple[Status, str]]:
    """Compares the value of an expression such as ``\\frac{\\sqrt{3}}{2}`` with a gold that is a fraction.

    ``parse`` gives sympy's objects for a text, or None; the answer must have one real value.
    """
    allowed = Fraction(tolerance)

    def compare(gold: str, answer: str) -> tuple[Status, str]:
        parsed = parse(answer)
        value = _real_value(parsed[0]) if parsed else None
        if value is None:
            return Status.WRONG, "not one real number"
        return (Status.CORRECT if is_within(value, Fraction(gold), allowed) else Status.WRONG), ""

    return compare


def is_within(value: Fraction, gold: Fraction, tolerance: Fraction) -> bool:
    """Whether the distance is at most ``tolerance`` times the gold's size, or ``tolerance`` itself where that is 0."""
    return abs(value - gold) <= tolerance * (abs(gold) or 1)


def _real_value(found: Any) -> Fraction | None:
    import sympy

    if isinstance(found, sympy.Equality) and found.lhs.is_Symbol:
        found = found.rhs
    if not isinstance(found, sympy.Expr) or found.free_symbols:
        return None
    number = sympy.N(found, DIGITS)
    return Fraction(str(number)) if number.is_Float or number.is_Rational else None


def own_comparison(name: str) -> tuple[Compare, str]:
    """A user's ``package.module:function``, called as function(gold, answer), and ""; or why it cannot be called.

    Whatever it raises, SystemExit too, is an error with its text; so is a result that is not a bool.
    """
    function, fault = _load(name)

    def compare(gold: str, answer: str) -> Outcome:
        if fault:
            return Outcome(Status.ERROR, fault)
        try:
            found = function(gold, answer)
        except MemoryError:
            return Outcome(Status.ERROR, f"{name}: {MEMORY_REASON}", is_spent=True)
        except BaseException as error:
            return Outcome(Status.ERROR, cut(f"{name} raised {said(error)}"))
        if not isinstance(found, bool):
            return Outcome(Status.ERROR, cut(f"{name} returned {type(found).__name__}, not a bool"))
        return Outcome(Status.CORRECT if found else Status.WRONG)

    return compare, fault


def _load(name: str) -> tuple[Callable[[str, str], object], str]:
    from importlib import import_module

    def never(gold: str, answer: str) -> object:
        raise AssertionError("nothing was loaded")

    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except BaseException as error:
        return never, cut(f"{name} cannot be imported: {said(error)}")
    return (found, "") if callable(found) else (never, f"{name} is no function but a {type(found).__name__}")


def said(error: BaseException) -> str:
    """Its kind and text; an exception may fail even to say what it is."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return type(error).__name__


def cut(text: str) -> str:
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 3] + "..."
