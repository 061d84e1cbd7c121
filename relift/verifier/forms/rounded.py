"""Golds that a data set rounded: numbers, also named, with a unit, or side by side."""

from __future__ import annotations

import re

from relift.verifier.forms.units import split_unit
from relift.verifier.normalise import normalise
from relift.verifier.rational import exact_value
from relift.verifier.spelling.brackets import split_top
from relift.verifier.values.rounding import within_last_digit

MAX_PARTS = 20

_NAMED = re.compile(r"(?:(?P<name>[A-Za-z](?:_\{\w+\})?)\s*(?:=|\\approx)|\\approx)\s*(?P<value>[^=]+)")


def is_rounded_gold(gold: str, answer: str) -> bool:
    """Whether each number of the answer is that of the gold, exactly or within the gold's last digit."""
    golds, answers = _parts(gold), _parts(answer)
    if not golds or len(golds) != len(answers) or len(golds) > MAX_PARTS:
        return False
    return all(_is_same(one, other) for one, other in zip(golds, answers, strict=True))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in split_top(normalise(text), ",;")]


def _is_same(gold: str, answer: str) -> bool:
    (gold_name, gold), (name, answer) = _named(gold), _named(answer)
    if name and name != gold_name and gold_name:
        return False
    (gold, expected), (answer, unit) = split_unit(gold), split_unit(answer)
    if unit is not None and (unit.unknown or (expected is not None and expected != unit)):
        return False
    exact = exact_value(gold), exact_value(answer)
    if exact[0] is not None and exact[1] is not None and exact[1].equals_gold(exact[0]):
        return True
    return gold == answer or within_last_digit(gold, answer)


def _named(text: str) -> tuple[str, str]:
    found = _NAMED.fullmatch(text)
    return (found["name"] or "", found["value"]) if found else ("", text)
