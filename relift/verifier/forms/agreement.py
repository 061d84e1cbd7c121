"""Whether an answer of some shape is the gold, as far as exact arithmetic can tell. The gold sets what shape will do.

Every refusal closes a hole that a parser of mathematics leaves open: it keeps the last side of a chain, takes ``[3,3]``
for 3, drops units and words, and does not tell a pair from an interval or a set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relift.verifier.forms.finding import DIFFERENT, EQUAL, OPEN, Finding, all_of, found, refused
from relift.verifier.forms.inequalities import Relation, proportional, same_relation
from relift.verifier.forms.lists import as_region, with_several
from relift.verifier.forms.names import renamed, same_name
from relift.verifier.forms.regions import Region, same_region
from relift.verifier.forms.shapes import Equation, Matrix, Several, Shape, Single, parse
from relift.verifier.forms.single import with_single
from relift.verifier.values.exact import Value
from relift.verifier.values.polynomials import without_negative_powers
from relift.verifier.values.reader import read


def compare(gold: Shape, answer: Shape) -> Finding:
    """By the rules for the gold's shape."""
    if isinstance(answer, Equation) and not isinstance(gold, Equation):
        return _against_equation(gold, answer)
    return _RULES[type(gold)](gold, answer)


def _with_equation(gold: Equation, answer: Shape) -> Finding:
    if len(gold.sides) > 2:
        if not isinstance(answer, Equation) or len(answer.sides) != len(gold.sides):
            return refused("not as many equal signs as the gold has")
        return all_of([compare(parse(one), parse(other)) for one, other in zip(gold.sides, answer.sides, strict=True)])
    if isinstance(answer, Equation):
        return _two_equations(gold, answer)
    if not gold.name:
        return refused("not an equation")
    return compare(parse(gold.value), answer)


def _two_equations(gold: Equation, answer: Equation) -> Finding:
    if len(answer.sides) > 2:
        return refused("a chain of equations")
    is_named = bool(gold.name and answer.name)
    if is_named:
        value = renamed(gold.name, answer.name, answer.value)
        if value is not None or same_name(gold.name, answer.name):
            return compare(parse(gold.value), parse(answer.value if value is None else value))
    first, second = _zero_form(gold), _zero_form(answer)
    if first is not None and second is not None:
        if not first.top or not second.top:
            return refused("an identity")
        if proportional(first, second) is not None:
            return EQUAL
    if is_named:
        return refused("another name")  # a parser would compare the right sides alone
    return OPEN if first is None or second is None or _has_roots(first, second) else DIFFERENT


def _has_roots(*values: Value) -> bool:
    names = (name for value in values for monomial in value.top for name, _ in monomial)
    return any(name.isdigit() or not name[-1].isalpha() for name in names)


def _zero_form(equation: Equation) -> Value | None:
    """Left minus right, denominators cleared; None where a side is not read."""
    left, right = read(equation.sides[0]), read(equation.sides[1])
    if left is None or right is None:
        return None
    difference = left.plus(right.negative())
    return replace(difference, top=without_negative_powers(difference.top))


def _against_equation(gold: Shape, answer: Equation) -> Finding:
    if len(answer.sides) > 2:
        return refused("a chain of equations")
    if not answer.name:
        return refused("an equation that is not name = value")
    return compare(gold, parse(answer.value))


def _with_region(gold: Region, answer: Shape) -> Finding:
    if isinstance(answer, Several) and (region := as_region(answer)) is not None:
        answer = region
    if isinstance(answer, Region):
        return found(same_region(gold, answer))
    if isinstance(answer, Relation) or (isinstance(answer, Single) and read(answer.text) is None):
        return OPEN
    return refused("not an interval")


def _with_matrix(gold: Matrix, answer: Shape) -> Finding:
    if not isinstance(answer, Matrix):
        return OPEN if isinstance(answer, Single) and "\\begin" in answer.text else refused("not a matrix")
    if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
        return refused("a matrix of another form")
    cells = [pair for rows in zip(gold.rows, answer.rows, strict=True) for pair in zip(*rows, strict=True)]
    return all_of([compare(parse(one), parse(other)) for one, other in cells])


def _with_relation(gold: Relation, answer: Shape) -> Finding:
    if isinstance(answer, Relation):
        return found(same_relation(gold, answer))
    return OPEN if isinstance(answer, Region) else refused("not a relation")


_RULES: dict[type, Callable[[Any, Shape], Finding]] = {
    Equation: _with_equation,
    Single: with_single,
    Several: lambda gold, answer: with_several(gold, answer, compare),
    Region: _with_region,
    Relation: _with_relation,
    Matrix: _with_matrix,
}
