"""One value against one value: numbers with their units, percent signs, long decimals, ratios."""

from __future__ import annotations

import re
from fractions import Fraction

from relift.verifier.forms.finding import DIFFERENT, EQUAL, NOT_DECIDED, Finding, opened, refused
from relift.verifier.forms.inequalities import Relation
from relift.verifier.forms.regions import Region
from relift.verifier.forms.shapes import Matrix, Several, Shape, Single, Solutions
from relift.verifier.forms.units import LENGTHS, Unit, conversion
from relift.verifier.values.exact import Value, letter, number, same
from relift.verifier.values.reader import read

PLACES = 6
"""Decimals that a number must have to stand for an irrational one."""
_DECIMAL = re.compile(r"[+-]?\d*\.(\d+)")
_INFINITE = {"\\infty": 1, "+\\infty": 1, "-\\infty": -1}
_TO = re.compile(r"\s*(?:\\text\{to\}|(?<=\d )to(?= \d))\s*")
_RATIO = re.compile(r"(\S+?):(\S+?)(?::(\S+))?")
_REFUSED: dict[type, str] = {
    Several: "several values for one",
    Solutions: "several values for one",
    Region: "an interval for one value",
    Relation: "a relation for one value",
    Matrix: "a matrix for one value",
}


def with_single(gold: Single, answer: Shape) -> Finding:  # noqa: PLR0911  (a rule a line)
    if not isinstance(answer, Single):
        return refused(_REFUSED.get(type(answer), "not one value"))
    factor = conversion(gold.unit, answer.unit) if gold.unit and answer.unit and gold.unit != answer.unit else None
    if factor is None and not _are_angles(gold, answer) and (unit := _unit_refused(gold.unit, answer.unit)):
        return refused(unit)
    if gold.text in _INFINITE or answer.text in _INFINITE:
        return EQUAL if _INFINITE.get(gold.text) == _INFINITE.get(answer.text) else DIFFERENT
    first, second = _valued(gold), _valued(answer)
    if first is None or second is None:
        return _ratio(gold, answer)
    if factor is not None:
        second = second.times(number(factor))
    if _are_angles(gold, answer):
        is_same = same(_in_radians(gold, first), _in_radians(answer, second))
        return EQUAL if is_same else (DIFFERENT if is_same is False else NOT_DECIDED)
    is_same = same(first, second)
    if is_same or _is_also_said(gold, answer, first, second):
        return EQUAL
    return DIFFERENT if is_same is False else _opened(gold, answer)


def _are_angles(gold: Single, answer: Single) -> bool:
    """Whether one of them is in degrees and the other in radians, which a pi shows where no unit is written."""
    kinds = ["degree" if _is_in(one, "degree") else "radian" if _is_in(one, "radian") else "" for one in (gold, answer)]
    others = [one for one, kind in zip((gold, answer), kinds, strict=True) if kind != "degree"]
    if "degree" not in kinds or len(others) != 1:
        return False
    return "radian" in kinds or ((others[0].unit is None or others[0].unit.is_plain) and "\\pi" in others[0].text)


def _is_in(single: Single, name: str) -> bool:
    return single.unit is not None and single.unit.names == ((name, 1),)


def _in_radians(single: Single, value: Value) -> Value:
    return value.times(letter("\\pi")).times(number(Fraction(1, 180))) if _is_in(single, "degree") else value


def _opened(gold: Single, answer: Single) -> Finding:
    """To be compared by others, with the factors of their units."""
    return opened(_whole_text(gold), _whole_text(answer))


def _whole_text(single: Single) -> str:
    text = f"{single.text}\\%" if single.is_percent else single.text
    factor = single.unit.factor if single.unit else 1
    return text if factor == 1 else f"{factor}({text})"


def _is_also_said(gold: Single, answer: Single, first: Value, second: Value) -> bool:
    """Whether the two are the same in spite of their values: a percent sign too many, a long decimal."""
    if gold.is_percent and not answer.is_percent and answer.unit is None:
        bare = read(gold.text)
        if bare is not None and same(bare, second):
            return True  # and where only the gold has it
    if first.rational is not None:
        if answer.is_percent and not gold.is_percent and first.rational == rational(answer.text):
            return True  # the sign may be left out where the gold has none
        if answer.rounded and first.rational == rational(answer.rounded):
            return True
    return _is_decimal_of(gold.text, second) or _is_decimal_of(answer.text, first)


def rational(text: str) -> Fraction | None:
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
    if answer == gold:
        return ""
    if answer is None or answer.is_plain:  # of `12 cm by 5 cm` that would be half of the answer
        is_more_than_unit = gold is not None and any(map(str.isdigit, gold.unknown))
        return "only a part of the answer" if is_more_than_unit else ""
    if answer.unknown:
        return "words beside the value"
    return "" if gold is None or gold.is_plain or _are_units_alike(gold, answer) else "another unit"


def _are_units_alike(gold: Unit, answer: Unit) -> bool:
    """The same, or ``square units`` and any square of a length."""
    if gold.names == answer.names:
        return True
    if len(gold.names) != 1 or len(answer.names) != 1:
        return False
    ((name, power),), ((other, other_power),) = gold.names, answer.names
    return power == other_power and ((name == "unit" and other in LENGTHS) or (other == "unit" and name in LENGTHS))


def _is_decimal_of(text: str, value: Value) -> bool:
    """Whether the text is a decimal with six places or more that are those of an irrational number."""
    digits = _DECIMAL.fullmatch(text)
    if digits is None or len(digits[1]) < PLACES or value.rational is not None or value.has_letters:
        return False
    position = None if value.sample is None else value.sample.position
    if position is None:
        return False
    return abs(float(text) - position) <= min(10.0**-PLACES, 1e-5 * abs(position))


def _ratio(gold: Single, answer: Single) -> Finding:
    """``3:4``, which is the number 3/4; in ``1:2:3`` the terms have a common factor."""
    first, second = (_terms(_TO.sub(":", single.text)) for single in (gold, answer))
    if first is None or second is None:
        return _opened(gold, answer)
    if len(first) != len(second):
        return refused("another number of terms")
    is_same = all(one * second[0] == other * first[0] for one, other in zip(first, second, strict=True))
    return EQUAL if is_same else DIFFERENT


def _terms(text: str) -> list[Fraction] | None:
    if (ratio := _RATIO.fullmatch(text)) is None:
        value = read(text)
        return None if value is None or not value.rational else [value.rational, Fraction(1)]
    values = [read(term) for term in ratio.groups() if term is not None]
    numbers = [value.rational for value in values if value is not None and value.rational is not None]
    return numbers if len(numbers) == len(values) and all(numbers) else None
