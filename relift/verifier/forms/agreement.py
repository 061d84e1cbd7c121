"""Whether an answer of some shape is the gold, as far as exact arithmetic can tell. The gold sets what shape will do.

Every refusal closes a hole that a parser of mathematics leaves open: it keeps the last side of a chain, takes ``[3,3]``
for 3, drops units and words, and does not tell a pair from an interval or a set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from relift.verifier.forms.inequalities import Relation, proportional, same_relation
from relift.verifier.forms.names import renamed, same_name
from relift.verifier.forms.regions import Region, parse_region, same_region
from relift.verifier.forms.shapes import Equation, Matrix, Several, Shape, Single, parse
from relift.verifier.forms.units import Unit
from relift.verifier.values.exact import Value, number, same
from relift.verifier.values.polynomials import without_negative_powers
from relift.verifier.values.reader import read

PLACES = 6
"""Decimals that a number must have to stand for an irrational one."""
MAX_COMPARED = 4_000
"""Pairs of values of two sets; of more they are compared only where all are rational numbers."""
_DECIMAL = re.compile(r"[+-]?\d*\.(\d+)")
_INFINITE = {"\\infty": 1, "+\\infty": 1, "-\\infty": -1}
_RATIO = re.compile(r"(\S+?):(\S+?)(?::(\S+))?")


@dataclass(frozen=True, slots=True)
class Finding:
    """``is_equal`` is None where a computer algebra system has to tell."""

    is_equal: bool | None
    refused: str = ""
    """Why the answer cannot be the gold whatever its value is."""


EQUAL, DIFFERENT, OPEN = Finding(True), Finding(False), Finding(None)


def refused(reason: str) -> Finding:
    return Finding(False, reason)


def _of(is_equal: bool | None) -> Finding:
    return EQUAL if is_equal else (DIFFERENT if is_equal is False else OPEN)


def compare(gold: Shape, answer: Shape) -> Finding:
    """By the rules for the gold's shape."""
    if isinstance(answer, Equation) and not isinstance(gold, Equation):
        return _against_equation(gold, answer)
    return _RULES[type(gold)](gold, answer)


def _with_equation(gold: Equation, answer: Shape) -> Finding:
    if len(gold.sides) > 2:
        if not isinstance(answer, Equation) or len(answer.sides) != len(gold.sides):
            return refused("not as many equal signs as the gold has")
        return _all([compare(parse(one), parse(other)) for one, other in zip(gold.sides, answer.sides, strict=True)])
    if isinstance(answer, Equation):
        return _two_equations(gold, answer)
    if not gold.name:
        return refused("not an equation")
    return compare(parse(gold.value), answer)


def _two_equations(gold: Equation, answer: Equation) -> Finding:
    if len(answer.sides) > 2:
        return refused("a chain of equations")
    if gold.name and answer.name:
        value = renamed(gold.name, answer.name, answer.value)
        if value is not None or same_name(gold.name, answer.name):
            return compare(parse(gold.value), parse(answer.value if value is None else value))
    first, second = _zero_form(gold), _zero_form(answer)
    if first is None or second is None:
        return refused("another name") if gold.name and answer.name else OPEN
    if not first.top or not second.top:
        return refused("an identity")
    if proportional(first, second) is not None:
        return EQUAL
    has_roots = any(
        name.isdigit() or not name[-1].isalpha() for monomial in (*first.top, *second.top) for name, _ in monomial
    )
    return OPEN if has_roots else DIFFERENT


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


def _with_single(gold: Single, answer: Shape) -> Finding:
    if not isinstance(answer, Single):
        return refused(_REFUSED.get(type(answer), "not one value"))
    if unit := _unit_refused(gold.unit, answer.unit):
        return refused(unit)
    if gold.text in _INFINITE or answer.text in _INFINITE:
        return _of(_INFINITE.get(gold.text) == _INFINITE.get(answer.text))
    first, second = _valued(gold), _valued(answer)
    if first is None or second is None:
        return _ratio(gold, answer)
    found = same(first, second)
    return EQUAL if found or _is_also_said(gold, answer, first, second) else _of(found)


def _is_also_said(gold: Single, answer: Single, first: Value, second: Value) -> bool:
    """Whether the two are the same in spite of their values: a percent sign too many, a long decimal."""
    if first.rational is not None:
        if answer.is_percent and not gold.is_percent and first.rational == _rational(answer.text):
            return True  # the sign may be left out where the gold has none
        if answer.rounded and first.rational == _rational(answer.rounded):
            return True
    return _is_decimal_of(gold.text, second) or _is_decimal_of(answer.text, first)


_REFUSED: dict[type, str] = {
    Several: "several values for one",
    Region: "an interval for one value",
    Relation: "a relation for one value",
    Matrix: "a matrix for one value",
}


def _rational(text: str) -> Fraction | None:
    value = read(text)
    return None if value is None else value.rational


def _valued(single: Single) -> Value | None:
    value = read(single.text)
    if value is None:
        return None
    factor = Fraction(single.unit.factor if single.unit else 1, 100 if single.is_percent else 1)
    if factor == 1:
        return value
    return value.times(number(factor))


def _unit_refused(gold: Unit | None, answer: Unit | None) -> str:
    """A unit may be left out; two that differ are wrong, and words must be units or words of the gold."""
    if answer is None or answer.is_plain or answer == gold:
        return ""
    if answer.unknown:
        return "words beside the value"
    return "" if gold is None or gold.is_plain or gold.names == answer.names else "another unit"


def _is_decimal_of(text: str, value: Value) -> bool:
    """Whether the text is a decimal with six places or more that are those of an irrational number."""
    found = _DECIMAL.fullmatch(text)
    if found is None or len(found[1]) < PLACES or value.rational is not None or value.has_letters:
        return False
    place = None if value.sample is None else value.sample.place
    if place is None:
        return False
    return abs(float(text) - place) <= min(10.0**-PLACES, 1e-5 * abs(place))


def _ratio(gold: Single, answer: Single) -> Finding:
    """``3:4``, which is the number 3/4; in ``1:2:3`` the terms have a common factor."""
    first, second = _terms(gold.text), _terms(answer.text)
    if first is None or second is None:
        return OPEN
    if len(first) != len(second):
        return refused("another number of terms")
    if not first[0] or not second[0]:
        return OPEN
    return _of(all(one * second[0] == other * first[0] for one, other in zip(first, second, strict=True)))


def _terms(text: str) -> list[Fraction] | None:
    if (found := _RATIO.fullmatch(text)) is None:
        value = read(text)
        return None if value is None or not value.rational else [value.rational, Fraction(1)]
    values = [read(term) for term in found.groups() if term is not None]
    numbers = [value.rational for value in values if value is not None and value.rational is not None]
    return numbers if len(numbers) == len(values) and all(numbers) else None


def _with_several(gold: Several, answer: Shape) -> Finding:
    if isinstance(answer, Region) and gold.kind == "tuple" and len(gold.items) == 2:
        region = _as_region(gold)
        return OPEN if region is None else _of(same_region(region, answer))
    if isinstance(answer, Single):
        return _several_with_one(gold, answer)
    if not isinstance(answer, Several):
        return refused("another kind of answer")
    return _with_tuple(gold, answer) if gold.kind == "tuple" else _with_unordered(gold, answer)


def _several_with_one(gold: Several, answer: Single) -> Finding:
    if gold.kind == "set" and len(gold.items) == 1:
        return compare(gold.items[0], answer)
    is_unknown = read(answer.text) is None and answer.unit is None
    return OPEN if is_unknown and gold.kind != "tuple" else refused("one value for several")


def _with_unordered(gold: Several, answer: Several) -> Finding:
    if answer.kind == "tuple":
        if gold.kind == "set" or gold.is_worded:
            return refused("a tuple instead of a set")
        return _in_order(gold, answer)
    if gold.name and answer.name and not same_name(gold.name, answer.name):
        return refused("another name")
    if _is_named(gold) != _is_named(answer):
        return _in_order(gold, answer)
    return _as_sets(gold.items, answer.items)


def _is_named(several: Several) -> bool:
    """Whether each value is that of a letter of its own, so that the order counts where the letters are left out."""
    names = [item.name for item in several.items if isinstance(item, Equation)]
    return len(names) == len(several.items) and all(names) and len(set(names)) > 1


def _with_tuple(gold: Several, answer: Several) -> Finding:
    if answer.kind == "set":
        return refused("a set instead of a tuple")
    if answer.kind == "list":
        return (
            refused("a list instead of a tuple")
            if answer.is_worded and not _is_named(answer)
            else _in_order(gold, answer)
        )
    if gold.brackets != answer.brackets:
        return refused("other brackets") if len(gold.items) == 2 else OPEN
    return _in_order(gold, answer)


def _in_order(gold: Several, answer: Several) -> Finding:
    if len(gold.items) != len(answer.items):
        return refused("another number of values")
    return _all([compare(_bare(one), _bare(other)) for one, other in zip(gold.items, answer.items, strict=True)])


def _bare(item: Shape) -> Shape:
    return parse(item.value) if isinstance(item, Equation) and item.name else item


def _as_sets(gold: tuple[Shape, ...], answer: tuple[Shape, ...]) -> Finding:
    """Each gold value among the answer's and the other way round; repeating one changes nothing."""
    numbers = [_plain_number(item) for item in (*gold, *answer)]
    if None not in numbers:
        return _of(set(numbers[: len(gold)]) == set(numbers[len(gold) :]))
    if len(gold) * len(answer) > MAX_COMPARED:
        return OPEN
    found = [[compare(one, other).is_equal for other in answer] for one in gold]
    rows = [*found, *([row[column] for row in found] for column in range(len(answer)))]
    if any(all(is_equal is False for is_equal in row) for row in rows):
        return DIFFERENT
    return EQUAL if all(True in row for row in rows) else OPEN


def _plain_number(item: Shape) -> Fraction | None:
    return _rational(item.text) if isinstance(item, Single) and item.unit is None and not item.is_percent else None


def _all(findings: list[Finding]) -> Finding:
    for finding in findings:
        if finding.is_equal is False:
            return finding
    return EQUAL if all(finding.is_equal for finding in findings) else OPEN


def _with_region(gold: Region, answer: Shape) -> Finding:
    if isinstance(answer, Several) and (region := _as_region(answer)) is not None:
        answer = region
    if isinstance(answer, Region):
        return _of(same_region(gold, answer))
    if isinstance(answer, Relation) or (isinstance(answer, Single) and read(answer.text) is None):
        return OPEN
    return refused("not an interval")


def _as_region(several: Several) -> Region | None:
    """A pair in round brackets as the open interval, a finite set as its points."""
    if not all(isinstance(item, Single) and item.unit is None for item in several.items):
        return None
    texts = ",".join(item.text for item in several.items if isinstance(item, Single))
    if several.kind == "tuple" and several.brackets == "()" and len(several.items) == 2:
        return parse_region(f"({texts})")
    return parse_region(f"\\{{{texts}\\}}") if several.kind == "set" and several.items else None


def _with_matrix(gold: Matrix, answer: Shape) -> Finding:
    if not isinstance(answer, Matrix):
        return OPEN if isinstance(answer, Single) and "\\begin" in answer.text else refused("not a matrix")
    if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
        return refused("a matrix of another form")
    cells = [pair for rows in zip(gold.rows, answer.rows, strict=True) for pair in zip(*rows, strict=True)]
    return _all([compare(parse(one), parse(other)) for one, other in cells])


def _with_relation(gold: Relation, answer: Shape) -> Finding:
    if isinstance(answer, Relation):
        return _of(same_relation(gold, answer))
    return OPEN if isinstance(answer, Region) else refused("not a relation")


_RULES: dict[type, Callable[[Any, Shape], Finding]] = {
    Equation: _with_equation,
    Single: _with_single,
    Several: _with_several,
    Region: _with_region,
    Relation: _with_relation,
    Matrix: _with_matrix,
}
