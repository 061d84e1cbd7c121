"""Statements, and every other kind of the second file of labelled cases: nothing wrong is accepted.

Without RELIFT_DATA the rows that were written for this project, with it all of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relift.records import Status, Verdict
from tests.verifier import statement_cases
from tests.verifier.real_golds import COPIES

FOLDER = Path(os.environ.get("RELIFT_DATA", COPIES))


def test_no_case_that_is_labelled_wrong_is_accepted_and_nearly_all_are_judged_as_labelled():
    found = statement_cases.cases(FOLDER)
    assert len(found) >= 490
    assert statement_cases.misses(found, statement_cases.judged(found)) == []


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([Status.CORRECT] * 93 + [Status.WRONG] * 8, []),
        ([Status.CORRECT] * 92 + [Status.WRONG] * 9, ["92.08% of the marked cases"]),
        ([Status.CORRECT] * 101, ["100: '3' accepts '4'"]),
    ],
)
def test_a_false_positive_is_said_by_name_and_so_is_a_bar_that_is_not_held(statuses, said):
    cases = [
        {"id": str(n), "gold": "3", "answer": "3" if n < 100 else "4", "expected": n < 100, "kind": "suite"}
        for n in range(101)
    ]
    missed = statement_cases.misses(cases, [Verdict(status=status) for status in statuses])
    assert [one.startswith(text) for one, text in zip(missed, said, strict=True)] == [True] * len(said)
