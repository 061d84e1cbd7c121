"""Answers of this project's own, class by class: for each gold some that are right and some that are not."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from relift.records import Status

ROWS = defaultdict(list)
for _line in (Path(__file__).parents[1] / "data" / "answers_by_class.jsonl").read_text().splitlines():
    _row = json.loads(_line)
    ROWS[_row["class"]].append(_row)


@pytest.mark.parametrize("name", ROWS)
def test_right_answers_are_told_from_wrong_ones(boxed, name):
    cases = [
        (row["gold"], answer, is_right)
        for row in ROWS[name]
        for is_right in (True, False)
        for answer in row["right" if is_right else "wrong"]
    ]
    verdicts = boxed.compare_batch([(gold, answer) for gold, answer, _ in cases])
    disagree = [
        (gold, answer, verdict.status.value, verdict.reason)
        for (gold, answer, is_right), verdict in zip(cases, verdicts, strict=True)
        if (verdict.status is Status.CORRECT) is not is_right
    ]
    assert disagree == []


def test_both_polarities_of_many_classes_are_there():
    assert len(ROWS) >= 50
    assert sum(len(row["right"]) for rows in ROWS.values() for row in rows) >= 1_300
    assert sum(len(row["wrong"]) for rows in ROWS.values() for row in rows) >= 1_400


def test_no_answer_of_one_class_is_refused_by_failing(boxed):
    """timeout and error would leave a wrong answer out of the statistics: what is refused is wrong, or malformed."""
    pairs = [(row["gold"], answer) for rows in ROWS.values() for row in rows for answer in row["wrong"]]
    statuses = {verdict.status for verdict in boxed.compare_batch(pairs)}
    assert statuses <= {Status.WRONG, Status.MALFORMED, Status.BAD_GOLD}
