"""Agreement with labelled cases. The floors are what was measured, so that a change for the worse shows.

Measured over the rows used here (math-verify 0.9.0, sympy 1.14.0): adversarial 181 of 182 as wanted, the other one a
false negative (the square root of -1 for i); bare answers 142 of 146 with one false positive, whose label is wrong
(``10{,}000`` against 10000); responses that hold a box 91 of 109 with one false positive, most of the rest being
several boxes as one answer, which this project refuses on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path

from relift.records import FinishReason, Status
from relift.verifier import Verifier

DATA = Path(__file__).parents[1] / "data"
TWO_SECONDS_EACH = {11, 17, 21, 22}
"""Ids that come to math-verify's own limit of 2 s; the worker's own test has one of their kind."""


def cases(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def text_of(case: dict, field: str) -> str:
    repeat = case.get(f"{field}_repeat")
    return repeat["head"] + repeat["unit"] * repeat["times"] + repeat["tail"] if repeat else case[field]


def test_hostile_answers_are_refused_in_time_and_the_worker_answers_right_after(boxed):
    disagree = []
    for case in cases("adversarial_cases.jsonl"):
        if case["id"] in TWO_SECONDS_EACH:
            continue
        answer = text_of(case, "answer")
        has_marker_only = "####" in answer and "\\boxed" not in answer
        with Verifier("hashes") as marked:
            grader = marked if has_marker_only else boxed
            verdict = grader.verify(text_of(case, "gold"), answer, FinishReason.STOP)
        assert verdict.seconds < boxed.hard_limit_seconds + 1, case["id"]
        if (verdict.status is Status.CORRECT) != (case["expected"] == "true"):
            disagree.append(case["id"])
        if case["expected"] == "reject-without-hang":
            assert boxed.compare("3", "1+2").status is Status.CORRECT, case["id"]
    assert disagree == [273]


def test_bare_answers_agree_with_their_labels(boxed):
    rows = [row for row in cases("verify_cases.jsonl") if row["form"] == "answer"]
    rows = [row for row in rows if not row.get("note", "").startswith("policy:")]
    found = [(row["expected"], boxed.compare(row["gold"], row["answer"]).status is Status.CORRECT) for row in rows]
    assert sum(label == is_correct for label, is_correct in found) >= 142
    assert found.count((False, True)) <= 1
    assert len(found) == 146


def test_boxed_responses_agree_with_their_labels(boxed):
    rows = [row for row in cases("verify_cases.jsonl") if row["form"] == "response" and "\\boxed" in row["answer"]]
    found = [
        (row["expected"], boxed.verify(row["gold"], row["answer"], FinishReason.STOP).status is Status.CORRECT)
        for row in rows
    ]
    assert sum(label == is_correct for label, is_correct in found) >= 91
    assert found.count((False, True)) <= 1
    assert len(found) == 109


def test_a_response_without_a_box_is_no_answer(boxed):
    rows = [row for row in cases("verify_cases.jsonl") if row["form"] == "response" and "\\boxed" not in row["answer"]]
    statuses = {boxed.verify(row["gold"], row["answer"], FinishReason.STOP).status for row in rows}
    assert statuses == {Status.NO_ANSWER}
