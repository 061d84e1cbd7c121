"""A day in small: answer upon answer with bombs among them, nothing lost, nothing stuck, memory flat.

RELIFT_TEST_ANSWERS says how many (`make test-verifier-long`: 200,000); memory is only compared over a long run.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter

import pytest
from process_table import children_of, memory_bytes

from relift.records import Completion, DecidedBy, FinishReason, Status
from relift.verifier import Verifier

ANSWERS = int(os.environ.get("RELIFT_TEST_ANSWERS", "1500"))
BATCH = 1_000
HARD_LIMIT_SECONDS = 8.0
BOMB_SHARE = 0.001
BOMBS = (
    "(x+y+z+w+%d)^{500}",
    r"\frac{(x+\sin x)^{900}}{(x-\cos x)^{900}}+%d",
    r"\int_0^{x} \sin(t^{7}) e^{t^{3}} dt+%d",
    r"9^{9^{9^{%d}}}",
    r"((%d!)!)!",
)
"""Three that keep sympy busy and two that are not let in."""
REACH_THE_WORKERS = 0.03
THOUGHT = "The first of them is 12, so twice that is 24, and half of the sum gives us what we look for.\n" * 20


class Memory(threading.Thread):
    """Means of the memory of this process and of its workers together, by tenths of the answers."""

    def __init__(self, verifier: Verifier) -> None:
        super().__init__(daemon=True)
        self.done = 0
        self._sums: dict[int, list[int]] = {tenth: [0, 0, 0] for tenth in range(11)}
        self._verifier = verifier
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.1):
            mine, theirs = memory_bytes(os.getpid()), 0
            for process in self._verifier.pool.processes:
                try:
                    theirs += memory_bytes(process)
                except OSError:
                    continue
            sums = self._sums[self.done * 10 // ANSWERS]
            sums[:] = sums[0] + 1, sums[1] + mine, sums[2] + theirs

    def stop(self) -> None:
        self._is_over.set()
        self.join()

    def of_tenth(self, tenth: int) -> tuple[float, float]:
        """Means over the tenth with that number, from 0."""
        count, mine, theirs = self._sums[tenth]
        return mine / count, theirs / count


def answer(number: int, draw: random.Random) -> tuple[str, str, bool | None]:
    """(gold, answer, whether it is right): mostly numbers, some that take mathematics, now and then a bomb."""
    kind, is_right = draw.random(), draw.random() < 0.6
    if kind < BOMB_SHARE:
        return rf"x\sin x+{number}", draw.choice(BOMBS) % number, None
    if kind < BOMB_SHARE + REACH_THE_WORKERS:
        return rf"\frac{{\pi}}{{4}}+{number}x", rf"\arctan(1)+{number if is_right else number + 1}x", is_right
    return str(number), str(number if is_right else number + 1), is_right


@pytest.mark.slow
def test_a_day_of_answers_with_bombs_among_them_loses_nothing_and_stays_small():
    draw = random.Random(5)
    before = children_of(os.getpid())
    statuses: Counter[Status] = Counter()
    paths: Counter[DecidedBy] = Counter()
    longest, disagreeing = 0.0, []
    with Verifier("boxed", workers=2, hard_limit_seconds=HARD_LIMIT_SECONDS) as verifier:
        memory = Memory(verifier)
        memory.start()
        began = time.monotonic()
        for start in range(0, ANSWERS, BATCH):
            made = [answer(number, draw) for number in range(start, min(start + BATCH, ANSWERS))]
            verdicts = verifier.verify_batch([(gold, completion(text)) for gold, text, _ in made])
            assert len(verdicts) == len(made)
            for (gold, text, is_right), verdict in zip(made, verdicts, strict=True):
                statuses[verdict.status] += 1
                paths[verdict.path] += 1
                longest = max(longest, verdict.seconds)
                if (verdict.status is Status.CORRECT) != bool(is_right) or (
                    is_right is not None and verdict.status not in (Status.CORRECT, Status.WRONG)
                ):
                    disagreeing.append((gold, text, verdict))
            memory.done = start + len(made)
        seconds = time.monotonic() - began
        memory.stop()
        pool = verifier.pool
    print(f"\n{ANSWERS} answers in {seconds:.0f} s, the longest {longest:.2f} s")
    print(f"{pool.started} workers started, {pool.killed} of them killed")
    print({kind.value: count for kind, count in (statuses + paths).items()})
    assert disagreeing == []
    assert statuses.total() == ANSWERS
    assert statuses[Status.TIMEOUT] > 0
    assert paths[DecidedBy.SYMPY] > 0.01 * ANSWERS
    assert longest < HARD_LIMIT_SECONDS + 0.5
    assert children_of(os.getpid()) == before
    if ANSWERS >= 100_000:
        (mine_2, theirs_2), (mine_10, theirs_10) = memory.of_tenth(1), memory.of_tenth(9)
        for who, early, late in (("this process", mine_2, mine_10), ("its workers", theirs_2, theirs_10)):
            print(f"{who}: {early / 1e6:.1f} MB in the second tenth, {late / 1e6:.1f} MB in the last")
            assert late < 1.1 * early
        assert mine_10 + theirs_10 < 1.1 * (mine_2 + theirs_2)


def completion(text: str) -> Completion:
    return Completion(
        token_ids=(),
        logprobs=(),
        text=f"{THOUGHT}So it is \\boxed{{{text}}}.",
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )
