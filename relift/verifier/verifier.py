"""Verdicts on completions: where the final answer stands, whether it is the gold, and what failed where neither."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from relift.records import Completion, DecidedBy, FinishReason, Status, Verdict
from relift.verifier.bounds import is_whole_text
from relift.verifier.equivalence import Decision, Undecided, check_gold, decide
from relift.verifier.extraction import AnswerForm, Extraction, extract
from relift.verifier.pool import WorkerPool

MAX_RECORDED_CHARS = 1_000
"""A longer answer is cut in its verdict, never in the comparison."""

LITERAL_ONLY = "the gold does not parse and is not this text"

logger = logging.getLogger(__name__)

_UNGRADED = {Status.TIMEOUT, Status.ERROR, Status.BAD_GOLD}
_Cache = dict[Undecided, Decision]


class Verifier:
    """Grades completions whose final answer stands in one form; a context manager, usable from any thread.

    Equal strings and exact numbers are settled here; the rest is asked of math-verify in a worker process, which is
    started when first needed and killed after ``hard_limit_seconds`` on one answer. The form ``equals`` (the arithmetic
    families) holds plain numbers only and never needs the worker. No signal of the caller is touched.
    """

    def __init__(self, form: AnswerForm, *, hard_limit_seconds: float = 8.0, think_opened: bool = False) -> None:
        """``think_opened``: the prompt opens the reasoning, so an answer counts only after ``</think>``."""
        self.form = form
        self.hard_limit_seconds = hard_limit_seconds
        self._think_opened = think_opened
        self._pool = WorkerPool(hard_limit_seconds=hard_limit_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker; the verifier may still be used and starts another one."""
        self._pool.close()

    def verify(self, gold: str, text: str, finish_reason: FinishReason) -> Verdict:
        """The verdict on one completion; a status for every failure, never an exception.

        A completion that ran out of tokens is ``truncated`` unless its closed final answer is correct: an answer that
        more tokens could still have changed (``=28`` on the way to ``=282``) is none.
        """
        return self._verify(gold, text, finish_reason, {})

    def verify_batch(
        self, pairs: Sequence[tuple[str, Completion]], *, check: Callable[[], None] = lambda: None
    ) -> list[Verdict]:
        """Verdicts in the order of the (gold, completion) pairs; ``check`` is called before each and may raise.

        Rollouts of a group share answers, so equal (gold, normalised answer) pairs are compared once; what timed out
        is not tried again in the batch, and nothing is kept after it.
        """
        cache: _Cache = {}
        verdicts = []
        for gold, made in pairs:
            check()
            verdicts.append(self._verify(gold, made.text, made.finish_reason, cache))
        return verdicts

    def compare(self, gold: str, answer: str) -> Verdict:
        """The verdict on a bare answer, such as another dataset's gold for the same question."""
        started = time.perf_counter()
        return _verdict(self._decide(gold, answer, {}), answer, started)

    def check_gold(self, gold: str) -> str | None:
        """Why no answer could be compared with this gold, or None when it parses and is equal to itself."""
        decision = check_gold(gold)
        if isinstance(decision, Undecided):
            if self.form == "equals":
                return "not a plain number, and the answer form 'equals' compares those only"
            decision = self._ask(decision)
        if decision.status is Status.CORRECT:
            return None
        if decision.reason == LITERAL_ONLY:
            logger.warning("The gold answer %.80r does not parse; only the same text will match it.", gold)
            return None
        return decision.reason or "math-verify does not find it equal to itself"

    def _verify(self, gold: str, text: str, finish_reason: FinishReason, cache: _Cache) -> Verdict:
        started = time.perf_counter()
        try:
            found = extract(text, self.form, think_opened=self._think_opened)
            decision = self._decide_extracted(gold, found, cache)
        except Exception as error:
            logger.exception("The verifier failed on a completion; it gets the status error.")
            return _verdict(_failed(error), None, started)
        if finish_reason is FinishReason.LENGTH and decision.status not in _UNGRADED:
            is_final = decision.status is Status.CORRECT and found.is_closed
            decision = decision if is_final else Decision(Status.TRUNCATED, decision.path, "ran out of tokens")
        return _verdict(decision, found.answer, started)

    def _decide_extracted(self, gold: str, found: Extraction, cache: _Cache) -> Decision:
        if found.answer is not None:
            return self._decide(gold, found.answer, cache)
        assert found.status is not None
        return Decision(found.status, DecidedBy.STRING, found.reason)

    def _decide(self, gold: str, answer: str, cache: _Cache) -> Decision:
        decision = decide(gold, answer)
        if isinstance(decision, Decision):
            return decision
        if self.form == "equals":
            return Decision(Status.WRONG, DecidedBy.STRING, "not a plain number")
        if decision not in cache:
            cache[decision] = self._ask(decision)
        return cache[decision]

    def _ask(self, pair: Undecided) -> Decision:
        reply = self._pool.compare(pair.gold, pair.answer)
        if reply.status is Status.BAD_GOLD and is_whole_text(pair.gold):
            return Decision(Status.WRONG, DecidedBy.SYMPY, LITERAL_ONLY)  # equal texts were found before
        return Decision(reply.status, DecidedBy.SYMPY, reply.reason)


def _verdict(decision: Decision, answer: str | None, started: float) -> Verdict:
    return Verdict(
        status=decision.status,
        answer=answer if answer is None else answer[:MAX_RECORDED_CHARS],
        path=decision.path,
        seconds=time.perf_counter() - started,
        reason=decision.reason,
    )


def _failed(error: Exception) -> Decision:
    return Decision(Status.ERROR, DecidedBy.STRING, f"the verifier raised {type(error).__name__}")
