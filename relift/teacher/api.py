"""The teacher behind an API: k candidates a question, none paid for twice, each admitted or refused with a reason.

recorded by this run -> kept by another run -> paused, rate limited, within the budget -> recorded -> sent -> recorded
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from relift.config import ApiTeacherConfig
from relift.ledger import RequestBook
from relift.policy.student import Student
from relift.randomness import generator
from relift.records import Demonstration, Question, TeacherAnswer, TeacherRequest
from relift.teacher.admission import admit_or_say, choose_shortest
from relift.teacher.answers import AnswerStore
from relift.teacher.budget import Budget
from relift.teacher.client import ApiClient
from relift.teacher.failure import AttemptFailed, Fault
from relift.teacher.intervention import Interventions
from relift.teacher.limits import LONGEST_PAUSE_SECONDS, Pause, RateLimiter, backoff
from relift.teacher.prompt import as_the_student_writes, most_input_tokens, requests_for
from relift.verifier import Verifier

BUDGET_SECONDS = 0.05
"""Between two looks at a budget that what is under way has reserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """What came of a question."""

    demonstrations: list[Demonstration]
    """Of every candidate that was answered; at most one of them, the first, is admitted."""
    is_final: bool
    """False where a candidate may still be answered later: the teacher was down or refused it, or the budget spent."""

    @property
    def is_admitted(self) -> bool:
        return any(d.is_admitted for d in self.demonstrations)


class ApiTeacher:
    """One API as one run uses it; its coroutines belong to one event loop."""

    def __init__(
        self,
        client: ApiClient,
        *,
        requests: RequestBook,
        answers: AnswerStore,
        verifier: Verifier,
        student: Student,
        max_tokens: int,
        interventions: Interventions | None = None,
    ) -> None:
        """``max_tokens``: of a demonstration, by the student's tokenizer with end-of-sequence. ``interventions``: how a
        question is asked with a wrong completion of it."""
        self._interventions = interventions
        self._client = client
        self._requests = requests
        self._answers = answers
        self._verifier = verifier
        self._student = student
        self._max_tokens = max_tokens
        config = client.config
        if (opening := client.opening) is not None:
            requests.opened(opening.request, opening.sent, opening.answered_usd, opening.unanswered_usd)
        self._config: ApiTeacherConfig = config
        self._under_way = asyncio.Semaphore(config.concurrency)
        self._pause = Pause(config.backoff_seconds, config.concurrency)
        self._requests_limiter = RateLimiter(config.requests_per_minute)
        self._tokens_limiter = RateLimiter(config.tokens_per_minute)
        self._budget = Budget(config.budget_usd, requests.spent_usd())
        self._answered = 0
        self._refused: dict[str, int] = {}
        """By question: how many requests had been answered when one of it was first refused."""
        self._is_spent = False
        self._is_closing = False

    @property
    def source(self) -> str:
        """Of the demonstrations, e.g. ``"api/gpt-x"``."""
        return f"api/{self._config.model}"

    @property
    def trouble(self) -> str:
        """What keeps the teacher from answering, e.g. down or out of budget; empty while all is well."""
        if self._is_spent:
            return f"the teacher's budget of {self._config.budget_usd:g} USD is spent"
        pause = self._pause
        if not pause.is_down:
            return ""
        if pause.is_refused:
            return f"the teacher is down: it refuses every request: {pause.last_failure}"
        if pause.longest_asked > LONGEST_PAUSE_SECONDS:
            return f"the teacher is down: it asked for a pause of {pause.longest_asked:.0f} s: {pause.last_failure}"
        return (
            f"the teacher is down: {pause.failures_in_a_row} requests in a row without an answer, the last one: "
            f"{pause.last_failure}"
        )

    async def solve(self, question: Question, mistake: str | None = None) -> Solved:
        """Ask for candidates, round after round until one is admitted. Raises LedgerError or StoreError.

        With a ``mistake``, a wrong completion, for one step in it in place of a solution.
        """
        candidates: list[Demonstration] = []
        is_final = True
        for round_number in range(self._config.rounds):
            found, is_final = await self._round(question, mistake, round_number)
            candidates += found
            if not is_final or any(d.is_admitted for d in found):
                break
        return Solved(demonstrations=choose_shortest(candidates), is_final=is_final)

    async def _round(
        self, question: Question, mistake: str | None, round_number: int
    ) -> tuple[list[Demonstration], bool]:
        """(the candidates that were answered, whether no other can still be)."""
        requests = self._requests_for(question, mistake, round_number)
        candidates, is_final = [], True
        asked = (self._candidate(question, mistake, each) for each in requests)
        found = await asyncio.gather(*asked, return_exceptions=True)
        for one in found:
            if isinstance(one, Demonstration):
                candidates.append(one)
            elif isinstance(one, AttemptFailed):
                is_final &= self._is_for_good(question, one)
            else:
                raise one
        return candidates, is_final

    def _requests_for(self, question: Question, mistake: str | None, round_number: int) -> list[TeacherRequest]:
        if mistake is not None and self._interventions is not None:
            return self._interventions.requests(
                question, mistake, self._config, max_tokens=self._max_tokens, round_number=round_number
            )
        return requests_for(
            question,
            self._config,
            form=self._verifier.form,
            max_tokens=self._max_tokens,
            thinks=self._student.thinks,
            round_number=round_number,
        )

    async def _candidate(self, question: Question, mistake: str | None, request: TeacherRequest) -> Demonstration:
        """What came of a request, admitted or refused. Raises AttemptFailed where nothing came."""
        answer = await self._answer(request)
        return await asyncio.to_thread(self._admit, question, mistake, answer)

    def _is_for_good(self, question: Question, failure: AttemptFailed) -> bool:
        """Whether to ask again is of no use: refused once more, while the teacher answered others in between."""
        if failure.fault is not Fault.REQUEST:
            return failure.fault.is_for_good
        return self._answered > self._refused.setdefault(question.id, self._answered)

    def stop_sending(self) -> None:
        """What is under way may still be answered; nothing else is sent."""
        self._is_closing = True

    async def close(self) -> None:
        await self._client.close()

    async def _answer(self, request: TeacherRequest) -> TeacherAnswer:
        """From the ledger, from another run, or from the server. Raises AttemptFailed when none of them has it."""
        if (recorded := self._requests.answer(request.key)) is not None:
            # Where the process died between the two, other runs would not find it.
            await asyncio.to_thread(self._answers.keep_if_new, request, recorded)
            return recorded
        if (stored := await asyncio.to_thread(self._answers.find, request)) is not None:
            spent = self._requests.spent_usd()
            at_most = self._client.most_usd(request)
            self._requests.known(request, stored.answer, is_own=stored.is_own, at_most_usd=at_most)
            self._budget.spend(self._requests.spent_usd() - spent)
            return stored.answer
        for attempt in range(self._config.attempts):
            try:
                async with self._under_way:
                    await self._turn(request)
                    return await self._send(request)
            except AttemptFailed as failure:
                if failure.fault is not Fault.PASSING or self._is_spent or attempt + 1 == self._config.attempts:
                    raise
                await asyncio.sleep(self._wait_before_next(request, attempt, failure))
        raise AssertionError("unreachable")

    def _wait_before_next(self, request: TeacherRequest, attempt: int, failure: AttemptFailed) -> float:
        """Seconds: what the server asked for, else doubled each time; with jitter, so that not all return at once."""
        jitter = generator(0, request.key, attempt).random()
        if failure.retry_after is not None:
            return failure.retry_after + 0.1 * jitter * self._config.backoff_seconds
        return backoff(self._config.backoff_seconds, attempt) * (0.5 + jitter)

    async def _turn(self, request: TeacherRequest) -> None:
        """Wait until this request may go out. Raises AttemptFailed when nothing is sent any more."""
        while True:
            if self._is_closing:
                raise AttemptFailed("the run is closing", Fault.PASSING)
            if self._pause.is_refused and self._pause.seconds_left:
                raise AttemptFailed(self.trouble, Fault.TEACHER)  # those that wait would only be refused as well
            if self._pause.seconds_left:
                await asyncio.sleep(self._pause.seconds_left)
                continue
            tokens = most_input_tokens(request) + self._client.most_output_tokens(request)
            seconds = max(self._requests_limiter.reserve(1), self._tokens_limiter.reserve(tokens))
            if seconds <= 0:
                return
            await asyncio.sleep(seconds)
            if not self._pause.seconds_left and not self._is_closing:
                return
            self._tokens_limiter.give_back(tokens)

    async def _send(self, request: TeacherRequest) -> TeacherAnswer:
        """One attempt, in the ledger before and after. Raises AttemptFailed."""
        at_most = self._client.most_usd(request)
        await self._afford(at_most)
        tokens = most_input_tokens(request) + self._client.most_output_tokens(request)
        self._requests.sent(request, at_most)
        try:
            answer = await self._client.complete(request)
        except AttemptFailed as failure:
            refund = 0.0 if failure.may_be_billed else at_most
            self._budget.settle(at_most, at_most - refund)
            if not failure.may_be_billed:
                self._tokens_limiter.give_back(tokens)
            if not failure.fault.is_for_good:
                is_refused = failure.fault is Fault.TEACHER
                self._pause.failed(str(failure), failure.retry_after, is_refused=is_refused)
            self._requests.failed(request, str(failure), refund)
            raise
        # At once, and before anything is awaited: an answer that is lost now is paid for a second time.
        self._requests.answered(request, answer, at_most)
        await asyncio.shield(asyncio.to_thread(self._answers.keep, request, answer))
        self._pause.succeeded()
        self._answered += 1
        self._budget.settle(at_most, answer.cost_usd)
        self._tokens_limiter.give_back(max(0, tokens - answer.input_tokens - answer.output_tokens))
        return answer

    async def _afford(self, at_most: float) -> None:
        """Raises AttemptFailed when so much is not left, and nothing under way can turn out cheaper than feared."""
        while not self._budget.reserve(at_most):
            if self._budget.is_settled:
                self._is_spent = True
                raise AttemptFailed(self.trouble, Fault.PASSING)
            await asyncio.sleep(BUDGET_SECONDS)
        self._is_spent = False

    def _admit(self, question: Question, mistake: str | None, answer: TeacherAnswer) -> Demonstration:
        checks: dict[str, Any] = {
            "source": self.source,
            "verifier": self._verifier,
            "write": self._student.write,
            "max_tokens": self._max_tokens,
            "answer": answer,
        }
        if mistake is not None and self._interventions is not None:
            return admit_or_say(question, mistake, by=self._interventions.admit, **checks)
        return admit_or_say(question, as_the_student_writes(answer.text, thinks=self._student.thinks), **checks)
