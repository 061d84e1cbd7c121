"""Verdicts on completions: where the final answer stands, whether it is the gold, and what failed where neither."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from relift.records import Completion, DecidedBy, FinishReason, Status, Verdict
from relift.verifier.bounds import is_whole_text
from relift.verifier.cache import DecisionCache
from relift.verifier.equivalence import LITERAL_ONLY, Decision, Undecided, check_number, decide_number
from relift.verifier.extraction import AnswerForm, FinalAnswer, ThinkingRule, extract
from relift.verifier.kinds import Comparison
from relift.verifier.open_verdict import OpenVerdict, failed, no_text
from relift.verifier.workers.pool import WorkerPool
from relift.verifier.workers.process import Reply

HARD_LIMIT_SECONDS = 8.0
"""On one answer, above the 2 + 2 + 2 of math-verify's own limits."""

MOST_WORDS = 8
"""Of a gold that is an answer; of 2,000 golds of competitions and textbooks four have more."""
NOT_COMPARED = "not compared, since too many before it had failed"

_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")

logger = logging.getLogger(__name__)

_FAILED = {Status.TIMEOUT, Status.ERROR}


def _never() -> None:
    """The check of a caller who has no reason to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldFinding:
    """What can be said of a gold before anything is answered, e.g. fault ``"empty"``."""

    fault: str | None = None
    """Why no answer could be compared with it."""
    is_literal: bool = False
    """Only the same text will match it: it does not parse, or is a sentence."""


class Verifier:
    """Grades completions whose final answer stands in one form; a context manager, usable from any thread.

    Equal strings and exact numbers are settled here; the rest is asked of math-verify in worker processes, which are
    started when first needed and killed after ``hard_limit_seconds`` on one answer. The form ``equals`` (the arithmetic
    families) holds plain numbers only and never needs a worker. No signal of the caller is touched, and whoever waits
    here can be interrupted. What workers decided is kept as long as the verifier, but for timeouts and errors.
    """

    def __init__(
        self,
        form: AnswerForm,
        *,
        comparison: Comparison | None = None,
        hard_limit_seconds: float = HARD_LIMIT_SECONDS,
        workers: int | None = None,
        thinking: ThinkingRule = "must-close",
        think_opened: bool = False,
        final_answer: FinalAnswer = "last",
    ) -> None:
        """``thinking``, ``think_opened`` and ``final_answer`` as ``extract`` takes them. ``workers``: processes at
        most; by default one a core, and at most eight."""
        self.form = form
        self.comparison = comparison or Comparison()
        self.hard_limit_seconds = hard_limit_seconds
        self.pool = WorkerPool(
            hard_limit_seconds=hard_limit_seconds,
            workers=workers,
            job=self.comparison.job(hard_limit_seconds=hard_limit_seconds),
        )
        self._thinking: ThinkingRule = thinking
        self._think_opened = think_opened
        self._final_answer: FinalAnswer = final_answer
        self._cache = DecisionCache()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers; a thread that waits for one gets Interrupted. The verifier may be used again."""
        self.pool.close()

    def reading(self, *, form: AnswerForm, rounded_golds: bool) -> Verifier:
        """The same verifier, with the same workers and what they decided, for answers of that form to such golds.

        Its workers end with this one's: it is not closed by itself.
        """
        other = copy(self)
        other.form = form
        other.comparison = replace(self.comparison, rounded_golds=rounded_golds)
        return other

    def fault(self) -> str:
        """Why nothing can be compared at all, such as a user's function that cannot be imported; "" otherwise."""
        return self.pool.fault() if self.comparison.kind == "callable" else ""

    def verify(self, gold: str, text: str, finish_reason: FinishReason) -> Verdict:
        """The verdict on one completion; a status for every failure, never an exception.

        A completion that ran out of tokens is ``truncated`` unless its closed final answer is correct: an answer that
        more tokens could still have changed (``=28`` on the way to ``=282``) is none.
        """
        return self._finished([self._extracted(gold, text, finish_reason)])[0]

    def verify_batch(
        self,
        pairs: Sequence[tuple[str, Completion]],
        *,
        check: Callable[[], None] = _never,
        max_failed_share: float = 1.0,
    ) -> list[Verdict]:
        """Verdicts in the order of the (gold, completion) pairs; ``check`` is called all along and may raise.

        Rollouts of a group share answers, so equal (gold, normalised answer) pairs are compared once. When more than
        ``max_failed_share`` of all verdicts are timeout or error, what is left is given up as errors: each of them
        could take the whole time limit, and whoever sets a limit will not use the others.
        """
        found = []
        for gold, made in pairs:
            check()
            found.append(self._extracted(gold, made.text, made.finish_reason))
        return self._finished(found, check, max_failed_share)

    def compare(self, gold: str, answer: str) -> Verdict:
        """The verdict on a bare answer, such as another dataset's gold for the same question."""
        return self.compare_batch([(gold, answer)])[0]

    def compare_batch(self, pairs: Sequence[tuple[str, str]], *, check: Callable[[], None] = _never) -> list[Verdict]:
        """The same for many (gold, bare answer) pairs, in their order."""
        found = []
        for gold, answer in pairs:
            check()
            found.append(self._bare(gold, answer))
        return self._finished(found, check)

    def check_gold(self, gold: str) -> str | None:
        """Why no answer could be compared with this gold, or None when it parses and is equal to itself."""
        return self.check_golds([gold])[0]

    def check_golds(self, golds: Sequence[str], *, check: Callable[[], None] = _never) -> list[str | None]:
        """The same for many golds, in their order.

        A gold in words that no parser reads passes, since the same words may be answered; they are logged together.
        """
        found = self.read_golds(golds, check=check)
        if literal := [gold for gold, one in zip(golds, found, strict=True) if one.is_literal and not one.fault]:
            first = ", ".join(f"{gold[:80]!r}" for gold in literal[:3])
            logger.warning(
                "%d gold answers do not parse or are sentences; only the same text will match them: %s.",
                *(len(literal), first),
            )
        return [one.fault for one in found]

    def read_golds(self, golds: Sequence[str], *, check: Callable[[], None] = _never) -> list[GoldFinding]:
        """What can be said of golds before anything is answered, in their order.

        What times out or fails is tried once more: a gold must not be good or bad by how busy the machine was.
        """
        found = []
        for gold in golds:
            check()
            found.append(self._checked(gold))
        verdicts = self._finished(found, check)
        failed = [number for number, verdict in enumerate(verdicts) if verdict.status in _FAILED]
        again = self._finished([found[number] for number in failed], check)
        for number, verdict in zip(failed, again, strict=True):
            verdicts[number] = verdict
        return [self._found(gold, verdict) for gold, verdict in zip(golds, verdicts, strict=True)]

    def _found(self, gold: str, verdict: Verdict) -> GoldFinding:
        if verdict.reason == LITERAL_ONLY:
            return GoldFinding(is_literal=True)
        if verdict.status is not Status.CORRECT:
            return GoldFinding(fault=verdict.reason or "math-verify does not find it equal to itself")
        is_words = len(_WORD.findall(gold)) > MOST_WORDS
        return GoldFinding(is_literal=is_words and self.comparison.kind == "math")

    def _checked(self, gold: str) -> OpenVerdict:
        try:
            decision = no_text("gold answer", gold, Status.BAD_GOLD)
            if decision is None and self.form == "equals" and self.comparison.kind == "math":
                decision = check_number(gold)
            return OpenVerdict(decision=decision or self.comparison.check_gold(gold), answer=None)
        except Exception as error:
            return OpenVerdict(decision=failed(error), answer=None)

    def _extracted(self, gold: str, text: str, finish_reason: FinishReason) -> OpenVerdict:
        began = time.perf_counter()
        answer, is_closed = None, True
        try:
            decision: Decision | Undecided | None = no_text("completion", text, Status.ERROR)
            if decision is None:
                found = extract(
                    text,
                    self.form,
                    thinking=self._thinking,
                    think_opened=self._think_opened,
                    final_answer=self._final_answer,
                )
                answer, is_closed = found.answer, found.is_closed
                if answer is not None:
                    decision = self._decide(gold, answer)
                else:
                    assert found.status is not None
                    decision = Decision(found.status, DecidedBy.STRING, found.reason)
        except Exception as error:
            decision = failed(error)
        return OpenVerdict(
            decision=decision,
            answer=answer,
            is_closed=is_closed,
            finish_reason=finish_reason,
            seconds=time.perf_counter() - began,
        )

    def _bare(self, gold: str, answer: str) -> OpenVerdict:
        began = time.perf_counter()
        try:
            fault = no_text("answer", answer, Status.ERROR)
            decision = fault or self._decide(gold, answer)
        except Exception as error:
            fault = decision = failed(error)
        return OpenVerdict(decision=decision, answer=None if fault else answer, seconds=time.perf_counter() - began)

    def _decide(self, gold: str, answer: str) -> Decision | Undecided:
        if fault := no_text("gold answer", gold, Status.BAD_GOLD):
            return fault
        if self.form == "equals" and self.comparison.kind == "math":
            return decide_number(gold, answer)
        return self.comparison.decide(gold, answer)

    def _finished(
        self, found: Sequence[OpenVerdict], check: Callable[[], None] = _never, max_failed_share: float = 1.0
    ) -> list[Verdict]:
        """The verdicts, once workers have decided what is undecided; the time they took is the first asker's."""
        undecided = Counter(made.decision for made in found if isinstance(made.decision, Undecided))
        failed = sum(isinstance(made.decision, Decision) and made.decision.status in _FAILED for made in found)
        decided = self._ask(undecided, check, max_failed_share * len(found) - failed) if undecided else {}
        verdicts = []
        for made in found:
            decision, seconds = made.decision, made.seconds
            if isinstance(decision, Undecided):
                is_first = undecided.pop(decision, 0) > 0
                decision, more = decided[decision]
                seconds += more if is_first else 0.0
            verdicts.append(made.closed(decision, seconds))
        return verdicts

    def _ask(
        self, undecided: Counter[Undecided], check: Callable[[], None], may_fail: float
    ) -> dict[Undecided, tuple[Decision, float]]:
        """(decision, seconds) of each pair, from cache or workers; gives up when more than ``may_fail`` fail."""
        decided = {pair: (known, 0.0) for pair in undecided if (known := self._cache.get(pair))}
        asked = [pair for pair in undecided if pair not in decided]
        with closing(self.pool.replies([(pair.gold, pair.answer) for pair in asked], check=check)) as replies:
            for number, reply in replies:
                pair = asked[number]
                decision = self._understood(pair, reply)
                decided[pair] = decision, reply.seconds
                self._cache.put(pair, decision)
                may_fail -= undecided[pair] * (reply.status in _FAILED)
                if may_fail < 0:
                    break
        given_up = Decision(Status.ERROR, self.comparison.path, NOT_COMPARED)
        return {pair: decided.get(pair, (given_up, 0.0)) for pair in undecided}

    def _understood(self, pair: Undecided, reply: Reply) -> Decision:
        if self.comparison.kind == "math" and reply.status is Status.BAD_GOLD and is_whole_text(pair.gold):
            return Decision(Status.WRONG, DecidedBy.SYMPY, LITERAL_ONLY)  # equal texts were found before
        return Decision(Status(reply.status), self.comparison.path, reply.reason)
