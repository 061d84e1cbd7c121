"""Requests to teachers: in the ledger before they are sent and after they are answered."""

from __future__ import annotations

import dataclasses

import pytest

from relift.ledger import Ledger, RequestTotals
from relift.records import FinishReason, TeacherAnswer, TeacherRequest

REQUEST = TeacherRequest(key="k1", question_id="q1", model="m", prompt="[]", parameters='{"candidate": 0}')
ANSWER = TeacherAnswer(
    text="40*6+7*6=282",
    finish_reason=FinishReason.STOP,
    input_tokens=10,
    output_tokens=20,
    cost_usd=0.25,
    latency_seconds=1.5,
)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.duckdb", "r") as ledger:
        yield ledger


def test_an_answer_is_found_again_and_its_cost_takes_the_place_of_what_was_feared(ledger):
    ledger.requests.sent(REQUEST, 1.0)
    assert ledger.requests.answer("k1") is None
    assert ledger.requests.spent_usd() == 1.0
    ledger.requests.answered(REQUEST, ANSWER, 1.0)
    assert ledger.requests.answer("k1") == ANSWER
    assert ledger.requests.spent_usd() == 0.25


def test_a_failure_that_may_be_billed_stays_counted_and_another_is_refunded(ledger):
    ledger.requests.sent(REQUEST, 1.0)
    ledger.requests.failed(REQUEST, "no answer within 2 s", refund_usd=0.0)
    ledger.requests.sent(REQUEST, 1.0)
    ledger.requests.failed(REQUEST, "HTTP 500", refund_usd=1.0)
    assert ledger.requests.spent_usd() == 1.0
    assert ledger.execute("SELECT attempts, failure, answer FROM teacher_requests") == [(2, "HTTP 500", None)]
    ledger.requests.sent(REQUEST, 1.0)
    ledger.requests.answered(REQUEST, ANSWER, 1.0)
    assert ledger.requests.spent_usd() == 1.25
    assert ledger.execute("SELECT attempts, failure FROM teacher_requests") == [(3, None)]


def test_what_was_sent_survives_the_end_of_the_process(tmp_path):
    with Ledger.open(tmp_path / "again.duckdb", "r") as first:
        first.requests.sent(REQUEST, 1.0)
    with Ledger.open(tmp_path / "again.duckdb", "r") as second:
        assert second.requests.spent_usd() == 1.0
        second.requests.answered(REQUEST, ANSWER, 1.0)
    with Ledger.open(tmp_path / "again.duckdb", "r") as third:
        assert third.requests.answer("k1") == ANSWER


def test_totals_tell_what_was_bought_from_what_another_run_knew(ledger):
    other = dataclasses.replace(REQUEST, key="k2", question_id="q2")
    ledger.requests.sent(REQUEST, 0.0)
    ledger.requests.answered(REQUEST, ANSWER, 0.0)
    ledger.requests.known(other, dataclasses.replace(ANSWER, cost_usd=0.0), is_own=False, at_most_usd=1.0)
    ledger.requests.sent(dataclasses.replace(REQUEST, key="k3"), 0.0)
    assert ledger.requests.totals() == RequestTotals(questions=2, requests=3, answered=2, bought=1, cost_usd=0.25)
    assert ledger.requests.answer("k2").text == ANSWER.text
    # Paid for by this run, in a ledger that did not last; and what it had set aside for another one is taken back.
    ledger.requests.known(dataclasses.replace(REQUEST, key="k4"), ANSWER, is_own=True, at_most_usd=1.0)
    ledger.requests.sent(dataclasses.replace(REQUEST, key="k5"), 1.0)
    ledger.requests.known(dataclasses.replace(REQUEST, key="k5"), ANSWER, is_own=True, at_most_usd=1.0)
    assert ledger.requests.totals() == RequestTotals(questions=2, requests=5, answered=4, bought=3, cost_usd=0.75)
    assert ledger.requests.spent_usd() == 0.75


def test_a_run_sees_its_own_requests_alone(tmp_path):
    with Ledger.open(tmp_path / "one.duckdb", "a") as first:
        first.requests.sent(REQUEST, 1.0)
        first.requests.answered(REQUEST, ANSWER, 1.0)
    with Ledger.open(tmp_path / "one.duckdb", "b") as second:
        assert second.requests.answer("k1") is None
        assert second.requests.spent_usd() == 0
