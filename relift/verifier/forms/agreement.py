"""Whether an answer of some shape is the gold, as far as exact arithmetic can tell. The gold sets what shape will do.

Every refusal closes a hole that a parser of mathematics leaves open: it keeps the last side of a chain, takes ``[3,3]``
for 3, drops units and words, and does not tell a pair from an interval or a set. What stays open is left as pairs of
expressions; a statement is never handed on whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relift.verifier.forms.equations import with_equation, value_of
from relift.verifier.forms.finding import EQUAL, NOT_DECIDED, Finding, all_of, found, refused
from relift.verifier.forms.inequalities import Relation, same_relation
from relift.verifier.forms.lists import as_region, with_several, with_solutions
from relift.verifier.forms.parameters import with_conditions
from relift.verifier.forms.regions import Region, same_region
from relift.verifier.forms.shapes import (
    Described,
    Equation,
    Given,
    Matrix,
    Several,
    Shape,
    Single,
    Solutions,
    parse,
)
from relift.verifier.forms.single import with_single
from relift.verifier.forms.names import letters_of, with_letters


def compare(gold: Shape, answer: Shape) -> Finding:
    """By the rules for the gold's shape."""
    if isinstance(gold, Given) or isinstance(answer, Given):
        return with_conditions(gold, answer, compare)
    if isinstance(answer, Equation) and not isinstance(gold, Equation):
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
    if isinstance(answer, Several) and (region := as_region(answer)) is not None:
        answer = region
    return same_region(gold, answer) if isinstance(answer, Region) else refused("not an interval")


def _with_matrix(gold: Matrix, answer: Shape) -> Finding:
    if not isinstance(answer, Matrix):
        return refused("not a matrix")
    if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
        return refused("a matrix of another form")
    cells = [pair for rows in zip(gold.rows, answer.rows, strict=True) for pair in zip(*rows, strict=True)]
    return all_of([compare(parse(one), parse(other)) for one, other in cells])


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


_RULES: dict[type, Callable[[Any, Shape], Finding]] = {
    Equation: lambda gold, answer: with_equation(gold, answer, compare),
    Single: with_single,
    Several: lambda gold, answer: with_several(gold, answer, compare),
    Solutions: lambda gold, answer: with_solutions(gold, answer, compare),
    Region: _with_region,
    Relation: _with_relation,
    Matrix: _with_matrix,
    Described: _with_described,
}
