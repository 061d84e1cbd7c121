"""Hostile answers: over in time, within the memory limit, and the next answer is right."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from process_table import peak_bytes

from relift.records import Completion, FinishReason, Status
from relift.verifier import Verifier
from relift.verifier.workers.messages import Job
from relift.verifier.workers.pool import WorkerPool

CASES = Path(__file__).parents[1] / "data" / "adversarial_cases.jsonl"
HARD_LIMIT_SECONDS = 8.0
BOMBS = [
    "(x+y+z+w)^{5000}",
    "((9!)!)!",
    "9^{9^{9^{9}}}",
    r"\binom{10^{9}}{5\cdot 10^{8}}",
    "(" * 5_000 + "1" + ")" * 5_000,
    "9" * 20_000,
    "\x00\ud800",
]
"""Handed to the workers as they are: the bounds that would stop most of them are not asked."""

T = TypeVar("T")


def watched(pool: WorkerPool, work: Callable[[], T]) -> tuple[T, int]:
    """What the work gives, and the largest address space that any worker had meanwhile."""
    peaks, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            for process in pool.processes:
                try:
                    peaks.append(peak_bytes(process)[0])
                except (OSError, KeyError):
                    continue  # it has just ended

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return work(), max(peaks)
    finally:
        is_over.set()
        watcher.join()


@pytest.mark.attacks
def test_a_bomb_that_no_bound_stopped_is_over_in_time_and_the_next_answer_is_right():
    pool = WorkerPool(hard_limit_seconds=HARD_LIMIT_SECONDS, workers=2)
    pairs = [pair for n, bomb in enumerate(BOMBS) for pair in (("3", bomb), (str(n), rf"\sqrt{{{n * n}}}"))]
    try:
        replies, peak = watched(pool, lambda: dict(pool.replies(pairs)))
    finally:
        pool.close()
    assert len(replies) == len(pairs)
    for number, reply in replies.items():
        if number % 2:
            assert reply.status is Status.CORRECT, (pairs[number], reply)
        else:
            assert reply.status in (Status.WRONG, Status.TIMEOUT, Status.ERROR), (pairs[number][1][:40], reply)
        assert reply.seconds < HARD_LIMIT_SECONDS + 0.5, (pairs[number][1][:40], reply)
    assert 0 < peak <= Job().memory_bytes


def text_of(case: dict, field: str) -> str:
    repeat = case.get(f"{field}_repeat")
    return repeat["head"] + repeat["unit"] * repeat["times"] + repeat["tail"] if repeat else case[field]


def test_the_adversarial_answers_cost_no_more_than_the_limits_and_spoil_nothing():
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    pairs = []
    for number, case in enumerate(cases):
        pairs.append((text_of(case, "gold"), text_of(case, "answer")))
        pairs.append((f"{number}x", rf"so it is \boxed{{\frac{{{2 * number}x}}{{2}}}}"))
    made = [
        (gold, Completion(token_ids=(), logprobs=(), text=text, finish_reason=FinishReason.STOP, policy_version=0))
        for gold, text in pairs
    ]
    with Verifier("boxed", workers=2) as verifier:
        began = time.monotonic()
        verdicts, peak = watched(verifier.pool, lambda: verifier.verify_batch(made))
        assert time.monotonic() - began < 10 * HARD_LIMIT_SECONDS
        again = verifier.verify_batch(made[1::2])
    for case, verdict, next_one in zip(cases, verdicts[::2], verdicts[1::2], strict=True):
        assert verdict.seconds < HARD_LIMIT_SECONDS + 0.5, case["id"]
        assert next_one.status is Status.CORRECT, (case["id"], next_one)
        if case["expected"] == "reject-without-hang":
            assert verdict.status is not Status.CORRECT, case["id"]
    assert {verdict.status for verdict in again} == {Status.CORRECT}
    assert peak <= Job().memory_bytes
