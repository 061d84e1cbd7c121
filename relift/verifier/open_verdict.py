"""A verdict in the making: what has been decided of a completion so far, and how it is closed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from relift.records import UNGRADED, DecidedBy, FinishReason, Status, Verdict
from relift.verifier.equivalence import Decision, Undecided

MAX_RECORDED_CHARS = 1_000
"""A longer answer is cut in its verdict, never in the comparison."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class OpenVerdict:
    decision: Decision | Undecided
    answer: str | None
    is_closed: bool = True
    """Whether more tokens could not have changed the answer."""
    finish_reason: FinishReason = FinishReason.STOP
    seconds: float = 0.0

    def closed(self, decision: Decision, seconds: float) -> Verdict:
        """By what was decided in the end: of a completion that ran out of tokens only a closed right answer counts."""
        if self.finish_reason is FinishReason.LENGTH and decision.status not in UNGRADED:
            is_final = decision.status is Status.CORRECT and self.is_closed
            decision = decision if is_final else Decision(Status.TRUNCATED, decision.path, "ran out of tokens")
        return Verdict(
            status=decision.status,
            answer=self.answer if self.answer is None else self.answer[:MAX_RECORDED_CHARS],
            path=decision.path,
            seconds=seconds,
            reason=decision.reason,
        )


def no_text(what: str, given: object, status: Status) -> Decision | None:
    if isinstance(given, str):
        return None
    return Decision(status, DecidedBy.STRING, f"the {what} is no text but {type(given).__name__}")


def failed(error: Exception) -> Decision:
    logger.exception("The verifier failed on an answer; it gets the status error.", exc_info=error)
    return Decision(Status.ERROR, DecidedBy.STRING, f"the verifier raised {type(error).__name__}")
