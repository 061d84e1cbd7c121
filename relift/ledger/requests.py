"""Requests to teachers in the ledger: committed before each is sent and after it is answered.

What is answered is the cache that survives a crash. Money is counted the same way: what a request may cost at most is
written before it is sent and taken back when the true cost is known, so a budget holds whatever moment a process dies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relift.ledger.project import open_file
from relift.ledger.rows import storable
from relift.records import FinishReason, TeacherAnswer, TeacherRequest

Read = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
Write = Callable[[str, Sequence[object]], None]
_SPENT = "SELECT coalesce(sum(coalesce(cost_usd, 0) + unanswered_usd), 0) FROM teacher_requests WHERE {of}"
OPENING = ""
"""Stands for the question that is asked at the start, and is none of the run's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTotals:
    """All requests of a run, e.g. questions 40, requests 80, answered 78, bought 60, cost_usd 0.12."""

    questions: int
    requests: int
    answered: int
    bought: int
    """Answered, and not by another run's cache."""
    cost_usd: float


class RequestBook:
    """The table ``teacher_requests`` of one run."""

    def __init__(self, run: str, read: Read, write: Write) -> None:
        self._run = run
        self._read = read
        self._write = write

    def sent(self, request: TeacherRequest, at_most_usd: float) -> None:
        """The request is about to be sent, for the first time or again."""
        self._insert(request, attempts=1, unanswered_usd=at_most_usd)

    def answered(self, request: TeacherRequest, answer: TeacherAnswer, at_most_usd: float) -> None:
        """Its answer, with the cost that takes the place of ``at_most_usd``."""
        self._write(
            "UPDATE teacher_requests SET answer = ?, finish_reason = ?, failure = NULL, input_tokens = ?, "
            "output_tokens = ?, cost_usd = ?, unanswered_usd = greatest(0, unanswered_usd - ?), latency_seconds = ?, "
            "answered_at = ? WHERE run = ? AND request_key = ?",
            [
                storable(answer.text),
                answer.finish_reason.value,
                answer.input_tokens,
                answer.output_tokens,
                answer.cost_usd,
                at_most_usd,
                answer.latency_seconds,
                _now(),
                self._run,
                request.key,
            ],
        )

    def known(self, request: TeacherRequest, answer: TeacherAnswer, *, is_own: bool, at_most_usd: float) -> None:
        """An answer that is paid for: by another run, or by this one (``is_own``) in a ledger that did not last.

        A reservation of ``at_most_usd`` that the ledger holds for it is then taken back.
        """
        is_recorded = self._read(
            "SELECT 1 FROM teacher_requests WHERE run = ? AND request_key = ?", [self._run, request.key]
        )
        self._insert(request, attempts=int(is_own and not is_recorded), unanswered_usd=0.0)
        self.answered(request, answer, at_most_usd if is_own else 0.0)

    def failed(self, request: TeacherRequest, failure: str, refund_usd: float) -> None:
        """No answer came; ``refund_usd`` is what is certain not to be billed."""
        self._write(
            "UPDATE teacher_requests SET failure = ?, unanswered_usd = greatest(0, unanswered_usd - ?) "
            "WHERE run = ? AND request_key = ?",
            [storable(failure), refund_usd, self._run, request.key],
        )

    def opened(self, request: TeacherRequest, sent: int, answered_usd: float, unanswered_usd: float) -> None:
        """The question at the start, sent so often: only its cost stays, since nobody is taught by its answer.

        It is a row of its own, under the question ``''``, to which every start of the run adds.
        """
        own = replace(request, key=f"opening-{request.key}", question_id=OPENING)
        self._insert(own, attempts=sent, unanswered_usd=unanswered_usd)
        self._write(
            "UPDATE teacher_requests SET failure = ?, cost_usd = coalesce(cost_usd, 0) + ? "
            "WHERE run = ? AND request_key = ?",
            ["asked at the start, to see whether the teacher is there", answered_usd, self._run, own.key],
        )

    def answer(self, key: str) -> TeacherAnswer | None:
        """The recorded answer, if there is one."""
        found = self._read(
            "SELECT answer, finish_reason, input_tokens, output_tokens, cost_usd, latency_seconds "
            "FROM teacher_requests WHERE run = ? AND request_key = ? AND answer IS NOT NULL",
            [self._run, key],
        )
        if not found:
            return None
        text, finish_reason, input_tokens, output_tokens, cost, latency = found[0]
        return TeacherAnswer(
            text=text,
            finish_reason=FinishReason(finish_reason),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=cost,
            latency_seconds=latency,
        )

    def spent_usd(self) -> float:
        """At most, over all sessions of the run."""
        return float(self._read(_SPENT.format(of="run = ?"), [self._run])[0][0])

    def totals(self) -> RequestTotals:
        found = self._read(
            "SELECT count(DISTINCT question_id) FILTER (question_id <> $2), count(*) FILTER (question_id <> $2), "
            "count(answer), count(answer) FILTER (attempts > 0), coalesce(sum(cost_usd), 0) "
            "FROM teacher_requests WHERE run = $1",
            [self._run, OPENING],
        )
        questions, requests, answered, bought, cost = found[0]
        return RequestTotals(questions=questions, requests=requests, answered=answered, bought=bought, cost_usd=cost)

    def _insert(self, request: TeacherRequest, *, attempts: int, unanswered_usd: float) -> None:
        self._write(
            "INSERT INTO teacher_requests BY NAME SELECT ? AS run, ? AS request_key, ? AS question_id, ? AS model, "
            "? AS prompt, ? AS parameters_json, ? AS attempts, ? AS unanswered_usd, ? AS sent_at "
            "ON CONFLICT (run, request_key) DO UPDATE SET attempts = teacher_requests.attempts + excluded.attempts, "
            "unanswered_usd = teacher_requests.unanswered_usd + excluded.unanswered_usd, sent_at = excluded.sent_at",
            [
                self._run,
                request.key,
                request.question_id,
                storable(request.model),
                storable(request.prompt),
                storable(request.parameters),
                attempts,
                unanswered_usd,
                _now(),
            ],
        )


def spent_usd_in(path: Path) -> float:
    """What the one run of a closed ledger has spent. Raises LedgerError for a file that cannot be read."""
    with open_file(path) as connection:
        (found,) = connection.execute(_SPENT.format(of="true")).fetchall()
    return float(found[0])


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
