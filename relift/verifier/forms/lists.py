"""Several values against several: tuples keep their order, sets do not, lists are read as the gold has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from relift.verifier.forms.finding import DIFFERENT, EQUAL, NOT_DECIDED, Finding, all_of, found, refused
from relift.verifier.forms.names import letter_of, same_name
from relift.verifier.forms.regions import Region, parse_region, same_region
from relift.verifier.forms.shapes import Equation, Several, Shape, Single, Solutions, parse
from relift.verifier.forms.single import rational

MAX_COMPARED = 4_000
"""Pairs of values of two sets; of more they are compared only where all are rational numbers."""
Compare = Callable[[Shape, Shape], Finding]
"""Of one value of the gold and one of the answer."""


def with_several(gold: Several, answer: Shape, compare: Compare) -> Finding:
    if isinstance(answer, Region) and (region := as_region(gold)) is not None:
        return same_region(region, answer)
    if isinstance(answer, Single):
        return _several_with_one(gold, answer, compare)
    if isinstance(answer, Solutions):
        return _several_with_solutions(gold, answer, compare)
    if not isinstance(answer, Several):
        return refused("another kind of answer")
    return _with_tuple(gold, answer, compare) if gold.kind == "tuple" else _with_unordered(gold, answer, compare)


def _several_with_one(gold: Several, answer: Single, compare: Compare) -> Finding:
    if gold.kind == "set" and len(gold.items) == 1:
        return compare(gold.items[0], answer)
    return refused("one value for several")


def with_solutions(gold: Solutions, answer: Shape, compare: Compare) -> Finding:
    """By name where the answer has names, otherwise each solution as a tuple in the gold's order of names."""
    if isinstance(answer, Solutions):
        order = [next((at for at, name in enumerate(answer.names) if same_name(one, name)), -1) for one in gold.names]
        if len(gold.names) != len(answer.names) or -1 in order or len(set(order)) < len(order):
            return refused("other names")
        answer = Solutions(gold.names, tuple(tuple(row[at] for at in order) for row in answer.rows))
        return _as_sets(_tuples(gold), _tuples(answer), compare)
    if not isinstance(answer, Several) or (answer.name and answer.name not in gold.names):
        return refused("not a value for each name")
    if len(gold.rows) == 1 and answer.kind != "set" and len(answer.items) == len(gold.names):
        if any(isinstance(item, Equation) and item.name for item in answer.items):
            return refused("other names")
        return all_of([compare(*pair) for pair in zip(gold.rows[0], answer.items, strict=True)])
    return _as_sets(_tuples(gold), answer.items, compare)


def _several_with_solutions(gold: Several, answer: Solutions, compare: Compare) -> Finding:
    """Names that the gold does not ask for say in which order the values stand; ``y=2, x=1`` is (1,2) all the same."""
    order = sorted(range(len(answer.names)), key=lambda at: answer.names[at])
    if not set(answer.names) <= {"x", "y", "z"}:
        order = list(range(len(answer.names)))
    rows = tuple(tuple(row[at] for at in order) for row in answer.rows)
    answer = Solutions(answer.names, rows)
    if _names(gold) or gold.name:
        return refused("other names")
    if len(rows) == 1 and len(gold.items) == len(rows[0]) and gold.kind != "set" and not gold.is_worded:
        return all_of([compare(*pair) for pair in zip(gold.items, rows[0], strict=True)])
    return refused("values of other names") if gold.kind == "tuple" else _as_sets(gold.items, _tuples(answer), compare)


def _tuples(solutions: Solutions) -> tuple[Shape, ...]:
    return tuple(Several("tuple", row, "()") for row in solutions.rows)


def _with_unordered(gold: Several, answer: Several, compare: Compare) -> Finding:
    if reason := _unfit(gold, answer):
        return refused(reason)
    names, others = set(_names(gold)), set(_names(answer))
    letters, other_letters = set(map(letter_of, names)), set(map(letter_of, others))
    if answer.kind == "tuple" or (names and not others and len(names) > 1) or (not names and len(other_letters) > 1):
        return _in_order(gold, answer, compare)
    if len(letters) == 1 and letters == other_letters and 1 in (len(names), len(others)):
        return _as_sets(tuple(map(_bare, gold.items)), tuple(map(_bare, answer.items)), compare)
    return _as_counted(gold, answer) or _as_sets(gold.items, answer.items, compare)


def _as_counted(gold: Several, answer: Several) -> Finding | None:
    """Numbers of a list that holds one of them twice, so that it is no set: as often in the answer, in any order."""
    expected, given = ([_plain_number(item) for item in several.items] for several in (gold, answer))
    is_counted = gold.kind == "list" and None not in expected and len(set(expected)) < len(expected)
    return found(Counter(expected) == Counter(given)) if is_counted else None


def _unfit(gold: Several, answer: Several) -> str:
    """Why the answer cannot be the gold's values whatever they are, or ""."""
    if answer.kind == "tuple" and (gold.kind == "set" or gold.is_worded):
        return "a tuple instead of a set"
    if answer.kind == "set" and len(set(_names(gold))) > 1:
        return "a set for values of different names"
    if gold.name and answer.name and not same_name(gold.name, answer.name):
        return "another name"
    if gold.is_logical and answer.is_logical and gold.is_logical != answer.is_logical:
        return "joined by another word"
    return ""


def _names(several: Several) -> list[str]:
    """The letters of the values; none where some value has none.

    Where there are several letters on one side and none on the other, the values must stand in their order. Different
    indices of one letter are such letters in a gold; in an answer they only number the values.
    """
    names = [item.name for item in several.items if isinstance(item, Equation)]
    return names if len(names) == len(several.items) and all(names) else []


def _with_tuple(gold: Several, answer: Several, compare: Compare) -> Finding:
    if answer.kind == "set":
        return refused("a set instead of a tuple")
    if answer.kind == "list":
        is_unordered = answer.is_worded and len(set(_names(answer))) < 2
        return refused("a list instead of a tuple") if is_unordered else _in_order(gold, answer, compare)
    if gold.brackets != answer.brackets:
        return refused("other brackets")
    return _in_order(gold, answer, compare)


def _in_order(gold: Several, answer: Several, compare: Compare) -> Finding:
    if len(gold.items) != len(answer.items):
        return refused("another number of values")
    return all_of([compare(_bare(one), _bare(other)) for one, other in zip(gold.items, answer.items, strict=True)])


def _bare(item: Shape) -> Shape:
    return parse(item.value) if isinstance(item, Equation) and item.name else item


def _as_sets(gold: tuple[Shape, ...], answer: tuple[Shape, ...], compare: Compare) -> Finding:
    """Each gold value among the answer's and the other way round; repeating one changes nothing."""
    numbers = [_plain_number(item) for item in (*gold, *answer)]
    if None not in numbers:
        return found(set(numbers[: len(gold)]) == set(numbers[len(gold) :]))
    if len(gold) * len(answer) > MAX_COMPARED:
        return NOT_DECIDED
    findings = [[compare(one, other) for other in answer] for one in gold]
    columns = [[row[at] for row in findings] for at in range(len(answer))]
    return all_of([_one_of(row) for row in (*findings, *columns)])


def _one_of(findings: list[Finding]) -> Finding:
    """Whether a value is among others: the one that it is, or the only one that it may be."""
    if any(finding.is_equal for finding in findings):
        return EQUAL
    still_open = [finding for finding in findings if finding.is_equal is None]
    if not still_open:
        return DIFFERENT
    return still_open[0] if len(still_open) == 1 else NOT_DECIDED


def _plain_number(item: Shape) -> Fraction | None:
    return rational(item.text) if isinstance(item, Single) and item.unit is None and not item.is_percent else None


def as_region(several: Several) -> Region | None:
    """A pair in round brackets as the open interval, a finite set or a list without names as its points."""
    items = list(map(_bare, several.items)) if len(set(_names(several))) == 1 else several.items
    if not all(isinstance(item, Single) and item.unit is None for item in items):
        return None
    texts = ",".join(item.text for item in items if isinstance(item, Single))
    if several.kind == "tuple" and several.brackets == "()" and len(several.items) == 2:
        return parse_region(f"({texts})")
    return parse_region(f"\\{{{texts}\\}}") if several.kind != "tuple" and several.items else None
