"""Whatever a server sends, an attempt ends in time, with an answer that was checked, or with a reason."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from relift.records import FinishReason, Question, TeacherAnswer, TeacherRequest, question_id
from relift.teacher.client import ApiClient
from relift.teacher.exchange import Exchange
from relift.teacher.failure import AttemptFailed, Fault
from relift.teacher.prompt import most_input_tokens, requests_for
from tests.teacher.conftest import api_config
from tests.teacher.faulty_server import KEY
from tests.teacher.hostile_server import ANSWERED, FAULTS, WRONG, hostile

pytestmark = pytest.mark.attacks

QUESTION = Question(id=question_id("47*6?"), text="47*6?", answer="282", source="test")
SECONDS = 1.0
PATIENT = 20.0
"""For what comes at once, on a busy machine."""
SLOW = {"headers one by one", "early hints without end", "a body byte by byte"}
MOST_TOKENS = 48
PRICES = {"usd_per_million_input": 1.0, "usd_per_million_output": 10.0}


@dataclass(frozen=True)
class Met:
    """One attempt against one fault."""

    found: TeacherAnswer | AttemptFailed
    seconds: float
    asked: int
    followed: int
    logged: int
    request: TeacherRequest


@functools.cache
def met(name: str) -> Met:
    with hostile([name]) as server, logged() as records:
        seconds = SECONDS if name in SLOW else PATIENT
        client = ApiClient(api_config(server.url, timeout_seconds=seconds, **PRICES))
        request = requests_for(QUESTION, client.config, form="equals", max_tokens=MOST_TOKENS)[0]

        async def attempt() -> TeacherAnswer | AttemptFailed:
            try:
                return await client.complete(request)
            except AttemptFailed as failure:
                return failure
            finally:
                await client.close()

        began = time.monotonic()
        found = asyncio.run(attempt())
        took = time.monotonic() - began
        return Met(found, took, sum(server.asked.values()), server.followed, len(records), request)


@contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """What relift says meanwhile."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("relift")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_time_with_a_checked_answer_or_a_reason(name: str) -> None:
    one = met(name)
    assert one.seconds < (SECONDS if name in SLOW else PATIENT) + 1.0
    assert (one.asked, one.followed) == (1, 0)
    assert one.logged == 0  # each of them is foreseen
    assert isinstance(one.found, TeacherAnswer) == (name in ANSWERED)
    if isinstance(one.found, TeacherAnswer):
        assert 0 < one.found.input_tokens <= most_input_tokens(one.request)
        assert 0 < one.found.output_tokens <= MOST_TOKENS
        assert one.found.cost_usd == pytest.approx((one.found.input_tokens + 10 * one.found.output_tokens) / 1e6)
        one.found.text.encode()
    else:
        said = str(one.found)
        assert said.isprintable() and len(said) < 600 and KEY not in said


REASONS = {
    "a lone surrogate": "no chat completion (Invalid JSON",
    "no JSON": "(Invalid JSON: expected value at line 1 column 1); the server says: <html>busy</html>",
    "a number for a text": "choices.0.message.content: Input should be a valid string",
    "headers one by one": f"no answer within {SECONDS:g} s",
    "early hints without end": f"no answer within {SECONDS:g} s",
    "a body byte by byte": f"no answer within {SECONDS:g} s",
    "a GiB that is announced": "the reply is longer than the 68608 bytes that so many tokens can need",
    "a GiB in chunks": "the reply is longer than the 68608 bytes",
    "a gzip bomb": "the reply is compressed (gzip), which it was not asked to be",
    "a GiB of an error": "HTTP 500: xxx",
    "a part that is an image": "choices.0.message.content.0: Input tag 'image_url'",
    "a call of a tool": "its finish_reason is 'tool_calls', and an end is one of complete, end_turn",
    "no end": "its finish_reason is none",
    "a filter": "withheld by the server's content filter",
    "an error with 200": r"the server says: overloaded \x1b[2J[key]......",
    "an error with 200 that is a tree": "choices: Field required",
    "a redirect to another host": "(HTTP 307) to the host 127.0.0.1, and redirects are not followed",
    "a redirect to itself": "(HTTP 308) to another path",
    "a redirect to nowhere": "(HTTP 301) to another path",
    "a GiB of a redirect": "(HTTP 302) to another path",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_named(name: str) -> None:
    assert REASONS[name] in str(met(name).found)


@pytest.mark.parametrize("name", [name for name in REASONS if "redirect" in name])
def test_a_redirect_refuses_every_request_and_is_told_by_its_host_alone(name: str) -> None:
    found = met(name).found
    assert isinstance(found, AttemptFailed)
    assert (found.fault, found.may_be_billed) == (Fault.TEACHER, False)
    assert "chat/completions" not in str(found)


@pytest.mark.parametrize("name", ["a call of a tool", "no end", "an end nobody knows", "a filter"])
def test_an_answer_that_did_not_come_to_its_end_is_not_asked_for_again(name: str) -> None:
    found = met(name).found
    assert isinstance(found, AttemptFailed)
    assert found.fault.is_for_good and found.may_be_billed


def test_counts_that_cannot_be_true_are_charged_as_the_most_there_can_be() -> None:
    charged = {}
    for name in ANSWERED:
        found = met(name).found
        assert isinstance(found, TeacherAnswer)
        charged[name] = (found.input_tokens, found.output_tokens)
    assert charged["cookies"] == (20, len(WRONG))
    most = (most_input_tokens(met("cookies").request), MOST_TOKENS)
    believed = {"cookies", "keys twice", "an answer with nulls inside", "out of tokens by another name"}
    assert {name: charged[name] for name in ANSWERED - believed} == dict.fromkeys(ANSWERED - believed, most)


def test_out_of_tokens_has_many_names() -> None:
    found = met("out of tokens by another name").found
    assert isinstance(found, TeacherAnswer)
    assert found.finish_reason is FinishReason.LENGTH


def test_what_nobody_foresaw_costs_the_answer_and_is_told_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(body: bytes) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("relift.teacher.client.read_reply", fails)
    found = met.__wrapped__("no usage").found
    assert str(found) == "the reply could not be handled (RuntimeError)"
    assert isinstance(found, AttemptFailed) and found.may_be_billed
    assert "a fault of ours" in caplog.text and "Traceback" in caplog.text


def test_no_cookie_is_kept() -> None:
    with hostile(["cookies"]) as server:
        endpoint = ApiClient(api_config(server.url)).endpoint

        async def twice() -> None:
            exchange = Exchange(endpoint, connections=1)
            for _ in range(2):
                await exchange.post("chat/completions", b"{}", {"Idempotency-Key": "k"}, most_bytes=9999, seconds=5)
            await exchange.close()

        asyncio.run(twice())
    assert (server.asked["k"], server.cookies) == (2, 0)


def test_replies_under_way_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relift.teacher.exchange.MOST_BYTES_TOGETHER", 200_000)
    with hostile(["a GiB in chunks"]) as server:
        endpoint = ApiClient(api_config(server.url)).endpoint

        async def together() -> list[str]:
            exchange = Exchange(endpoint, connections=4)
            asking = [
                exchange.post("chat/completions", b"{}", {"Idempotency-Key": "k"}, most_bytes=1 << 20, seconds=20)
                for _ in range(4)
            ]
            ended = await asyncio.gather(*asking, return_exceptions=True)
            assert exchange._held == 0  # what was held is let go
            await exchange.close()
            return [str(one) for one in ended]

        said = asyncio.run(together())
    assert said == ["the replies under way are longer than 200000 bytes together"] * 4
