"""Whether an answer of some shape is the gold, as far as exact arithmetic can tell. The gold sets what shape will do.

Every refusal closes a hole that a parser of mathematics leaves open: it keeps the last side of a chain, takes ``[3,3]``
for 3, drops units and words, and does not tell a pair from an interval or a set. What stays open is left as pairs of
expressions; a statement is never handed on whole.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from relift.verifier.forms.equations import value_of, with_equation
from relift.verifier.forms.finding import EQUAL, NOT_DECIDED, Finding, all_of, found, refused
from relift.verifier.forms.inequalities import Relation, same_relation, same_term
from relift.verifier.forms.lists import as_region, with_several, with_solutions
from relift.verifier.forms.names import letters_of, with_letters
from relift.verifier.forms.parameters import with_conditions
from relift.verifier.forms.regions import Region, same_region
from relift.verifier.forms.shapes import (
    Described,
    Equation,
    Given,
    Matrix,
    Residue,
    Several,
    Shape,
    Single,
    Solutions,
    parse,
)
from relift.verifier.forms.single import rational, with_single
from relift.verifier.values.polynomials import ONE, UNIT
from relift.verifier.values.reader import read


def compare(gold: Shape, answer: Shape) -> Finding:
    """By the rules for the gold's shape."""
    if isinstance(gold, Given) or isinstance(answer, Given):
        return with_conditions(gold, answer, compare)
    if isinstance(answer, Equation) and not isinstance(gold, (Equation, Residue)):
        return _against_equation(gold, answer)
    return _RULES[type(gold)](gold, answer)


def _against_equation(gold: Shape, answer: Equation) -> Finding:
    if len(answer.sides) > 2:
        return refused("a chain of equations")
    if isinstance(gold, Solutions):
        return refused("one value for several")
    value = value_of(answer)
    return refused("an equation that is not name = value") if value is None else compare(gold, parse(value))


def _with_region(gold: Region, answer: Shape) -> Finding:
    if isinstance(answer, Matrix):
        return _vector_with_tuple(answer, gold, is_gold=False)
    if isinstance(answer, Several) and (region := as_region(answer)) is not None:
        answer = region
    return same_region(gold, answer) if isinstance(answer, Region) else refused("not an interval")


def _with_matrix(gold: Matrix, answer: Shape) -> Finding:
    if isinstance(answer, (Several, Region)):
        return _vector_with_tuple(gold, answer)
    if not isinstance(answer, Matrix):
        return refused("not a matrix")
    if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
        return refused("a matrix of another form")
    cells = [pair for rows in zip(gold.rows, answer.rows, strict=True) for pair in zip(*rows, strict=True)]
    return all_of([compare(parse(one), parse(other)) for one, other in cells])


def _vector_with_tuple(vector: Matrix, other: Several | Region, *, is_gold: bool = True) -> Finding:
    """A row or a column may stand as a tuple; ``[1,2]`` is then no interval."""
    cells = [cell for row in vector.rows for cell in row]
    if min(len(vector.rows), len(vector.rows[0])) > 1 or len(cells) < 2:
        return refused("not a matrix")
    if isinstance(other, Region):
        ends = [end for piece in other.pieces if piece.has_low and piece.has_high for end in (piece.low, piece.high)]
        texts = [end.text for end in ends if end is not None and end.text]
        items: list[Shape] = [Single(text) for text in texts] if len(other.pieces) == 1 and not other.variable else []
    else:
        items = list(other.items) if other.kind == "tuple" else []
    if len(items) != len(cells):
        return refused("not a vector of this length")
    shapes = [parse(cell) for cell in cells]
    pairs = zip(shapes, items, strict=True) if is_gold else zip(items, shapes, strict=True)
    return all_of([compare(*pair) for pair in pairs])


def _with_relation(gold: Relation, answer: Shape) -> Finding:
    return same_relation(gold, answer) if isinstance(answer, Relation) else refused("not a relation")


def _with_described(gold: Described, answer: Shape) -> Finding:
    """Two sets by the same condition, whatever the letter before the bar is called."""
    if not isinstance(answer, Described):
        return NOT_DECIDED
    binder, condition = answer.binder, answer.condition
    if binder != gold.binder:
        if not (len(binder) == len(gold.binder) == 1) or gold.binder in letters_of(condition):
            return NOT_DECIDED
        condition = with_letters(condition, {binder: gold.binder})
    if condition.replace(" ", "") == gold.condition.replace(" ", ""):
        return EQUAL
    expected, given = parse(gold.condition), parse(condition)
    return NOT_DECIDED if isinstance(expected, Single) or isinstance(given, Single) else compare(expected, given)


def _with_several(gold: Several, answer: Shape) -> Finding:
    if isinstance(answer, Matrix) and gold.kind == "tuple":
        return _vector_with_tuple(answer, gold, is_gold=False)
    return with_several(gold, answer, compare)


def _with_residue(gold: Residue, answer: Shape) -> Finding:
    """A class by any of its numbers, ``n = 4k+1`` for ``n \\equiv 1 \\pmod{4}``.

    The number alone will do where the gold has no name; ``n \\bmod 7`` is not n.
    """
    if isinstance(answer, Residue):
        if answer.name != gold.name and answer.name and gold.name:
            return refused("another name")
        if not same_term(gold.modulus, answer.modulus).is_equal:
            return refused("another modulus")
        return _same_class(gold, answer.value)
    if isinstance(answer, Equation) and answer.name == gold.name:
        return found(_remainder(answer.value, gold.modulus) == rational(gold.value) is not None)
    if gold.name or not isinstance(answer, Single) or rational(gold.value) is None:
        return NOT_DECIDED
    return compare(Single(gold.value), answer)


def _same_class(gold: Residue, value: str) -> Finding:
    one, other, modulus = rational(gold.value), rational(value), rational(gold.modulus)
    if one is None or other is None or not modulus:
        return same_term(gold.value, value)
    return found((one - other) % modulus == 0 and one.denominator == other.denominator == 1)


def _remainder(text: str, modulus: str) -> Fraction | None:
    """What ``4k+1`` leaves divided by 4; None where the factor of its letter is another one."""
    value, whole = read(text), rational(modulus)
    letters = letters_of(text)
    if value is None or whole is None or value.bottom != UNIT or len(letters) != 1 or len(value.top) > 2:
        return None
    slope = value.top.get(((next(iter(letters)), Fraction(1)),))
    rest = value.top.get(ONE, Fraction(0))
    is_class = slope is not None and abs(slope) == whole and rest.denominator == 1
    return rest % whole if is_class and len(value.top) == 1 + bool(rest) else None


_RULES: dict[type, Callable[[Any, Shape], Finding]] = {
    Equation: lambda gold, answer: with_equation(gold, answer, compare),
    Single: with_single,
    Several: _with_several,
    Solutions: lambda gold, answer: with_solutions(gold, answer, compare),
    Region: _with_region,
    Relation: _with_relation,
    Matrix: _with_matrix,
    Described: _with_described,
    Residue: _with_residue,
}
