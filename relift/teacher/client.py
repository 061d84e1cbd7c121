"""An OpenAI-compatible server as one run uses it: one attempt at a time, faults by kind.

Whatever the server does, an attempt ends within its time with an answer whose every part was checked, or as
AttemptFailed: that is decided here and nowhere else. The key is struck out of every text that comes from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from relift.config import ApiTeacherConfig
from relift.errors import TeacherError
from relift.records import TeacherAnswer, TeacherRequest
from relift.teacher.endpoint import endpoint_of
from relift.teacher.exchange import Exchange, HttpReply
from relift.teacher.failure import AttemptFailed, BadReply, Fault
from relift.teacher.prompt import joined, most_input_tokens, sent_parameters
from relift.teacher.refusals import Refusals
from relift.teacher.reply import Complaint, complaint_in, models_in, read_reply

CHECK_TRIES, CHECK_SECONDS = 3, 20.0
"""Of the check at the start whether the teacher is there; the seconds are for its list of models."""
NO_ROOM = "could not finish the message"
"""How OpenAI's reasoning models say that so few tokens were too few: all else about the request was right."""
BYTES_OF_A_TOKEN = 64
"""Of JSON that a token of an answer may take: ten times what tokens of prose take, and of Chinese as escapes."""
LEAST_REPLY_BYTES, MOST_REPLY_BYTES = 1 << 16, 1 << 22
"""Of a reply whatever the token limit: for what stands around the answer, and what is held of one at most."""
TEXT_BYTES_OF_A_TOKEN = 128
"""Of a text that one token may stand for; the longest are runs of blanks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the question at the start has cost, e.g. sent 1, answered_usd 0.002."""

    request: TeacherRequest
    sent: int
    answered_usd: float
    unanswered_usd: float
    """At most, of what was sent and may be billed though no answer came."""


class ApiClient:
    """The server as one run uses it. The asynchronous methods belong to one event loop."""

    def __init__(self, config: ApiTeacherConfig) -> None:
        """Raises TeacherError when the key or a usable URL is missing; nothing is sent yet."""
        self.config = config
        self.endpoint = endpoint_of(config)
        self._refusals = Refusals(config, self.endpoint)
        self.opening: Opening | None = None
        """Set by ``check`` where it asked its question."""
        self._exchange: Exchange | None = None

    def check(self, request: TeacherRequest, *, left_usd: float | None = None) -> str | None:
        """Send a request, before any work, just as the run will: is the teacher there, does it take our key, model,
        messages and parameters, and is its answer one that can be read?

        ``left_usd``: of the budget; None for no limit. A request that may cost more is not sent, and the list of models
        must do. None when all is well; else why the teacher seems to be down, where the recipe does not require it.
        Raises TeacherError for what it refuses, with the setting to change, and for a teacher that is down where it is
        required. May not be called where an event loop runs.
        """
        return asyncio.run(self._check(request, left_usd))

    async def complete(self, request: TeacherRequest) -> TeacherAnswer:
        """One attempt, within ``timeout_seconds`` in all. Raises AttemptFailed, and nothing else for what came."""
        with self._as_failure():
            if self._exchange is None:
                self._exchange = Exchange(self.endpoint, connections=self.config.concurrency)
            began = time.perf_counter()
            # A server that knows the header answers a request it has answered before without billing it again.
            reply = await self._post(self._exchange, request, key=request.key)
            return self._answer(reply, request, time.perf_counter() - began)

    def most_usd(self, request: TeacherRequest) -> float:
        """What the request may cost at most."""
        return self._usd(most_input_tokens(request), self.most_output_tokens(request))

    def most_output_tokens(self, request: TeacherRequest) -> int:
        return int(str(sent_parameters(request)[self.config.token_parameter]))

    async def close(self) -> None:
        if self._exchange is not None:
            await self._exchange.close()

    async def _check(self, request: TeacherRequest, left_usd: float | None) -> str | None:
        try:
            exchange = Exchange(self.endpoint, connections=1)
        except (ValueError, ImportError) as problem:
            raise TeacherError(
                f"the proxy that the environment names for the teacher at {self.endpoint.shown} cannot be used: "
                f"{self.endpoint.redacted(problem)}. Correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or name the host in "
                f"NO_PROXY."
            ) from None
        trouble = ""
        try:
            for attempt in range(min(CHECK_TRIES, self.config.attempts)):
                if attempt:
                    await asyncio.sleep(self.config.backoff_seconds)
                try:
                    await self._ask_for_the_model(exchange, request, left_usd)
                    return None
                except AttemptFailed as problem:
                    trouble = str(problem)
                    if problem.fault is not Fault.PASSING:
                        raise TeacherError(trouble) from None
        finally:
            await exchange.close()
        message = f"the teacher at {self.endpoint.shown} does not answer: {trouble}."
        if self.config.required:
            raise TeacherError(
                f"{message} Check teacher.api.base_url (or {self.config.url_variable}) and whether the server is up; "
                f"with teacher.api.required=false the run begins without it."
            )
        return message

    async def _ask_for_the_model(self, exchange: Exchange, request: TeacherRequest, left_usd: float | None) -> None:
        """The list of models, in case ours is unknown; then the question. Raises AttemptFailed."""
        with self._as_failure():
            # A server may take a while to load a model for its first answer, but not to say that it is there.
            seconds = min(CHECK_SECONDS, self.config.timeout_seconds)
            listed = await exchange.get("models", most_bytes=MOST_REPLY_BYTES, seconds=seconds)
            # A server may have no such list, be unable to make it, or keep it from our key.
            known = models_in(listed.body) if listed.status == 200 else []
        spent = self.opening
        at_most = self.most_usd(request)
        paid = spent.answered_usd + spent.unanswered_usd if spent else 0.0
        if left_usd is not None and paid + at_most > left_usd:
            return
        try:
            answer = await self._opening_answer(exchange, request, known)
        except AttemptFailed as failure:
            self._count_opening(request, unanswered_usd=at_most if failure.may_be_billed else 0.0)
            if failure.fault is not Fault.WITHHELD:
                raise
        else:
            self._count_opening(request, answered_usd=answer.cost_usd if answer else 0.0)

    async def _opening_answer(
        self, exchange: Exchange, request: TeacherRequest, known: list[str]
    ) -> TeacherAnswer | None:
        """None where the model ran out of tokens before it said anything, which is no fault. Raises AttemptFailed."""
        with self._as_failure():
            # A key of its own: what an earlier start was answered says nothing of today.
            reply = await self._post(exchange, request, key=f"opening-{os.getpid()}-{time.time_ns()}")
            complaint = complaint_in(reply.body) if reply.status in (400, 404, 422) else Complaint(message="")
            if reply.status == 404:
                raise AttemptFailed(self._refusals.no_such_model(complaint, known), Fault.TEACHER)
            if reply.status in (400, 422):
                if NO_ROOM in complaint.message.lower():
                    return None
                most = self.most_output_tokens(request)
                raise AttemptFailed(self._refusals.refused_question(complaint, most, known), Fault.REQUEST)
            return self._answer(reply, request, 0.0)

    def _count_opening(
        self, request: TeacherRequest, *, answered_usd: float = 0.0, unanswered_usd: float = 0.0
    ) -> None:
        before = self.opening or Opening(request=request, sent=0, answered_usd=0.0, unanswered_usd=0.0)
        self.opening = Opening(
            request=request,
            sent=before.sent + 1,
            answered_usd=before.answered_usd + answered_usd,
            unanswered_usd=before.unanswered_usd + unanswered_usd,
        )

    async def _post(self, exchange: Exchange, request: TeacherRequest, *, key: str) -> HttpReply:
        body = {"model": request.model, "messages": json.loads(request.prompt), **sent_parameters(request)}
        most_bytes = LEAST_REPLY_BYTES + BYTES_OF_A_TOKEN * self.most_output_tokens(request)
        return await exchange.post(
            "chat/completions",
            json.dumps(body).encode(),
            {"Idempotency-Key": key},
            most_bytes=min(MOST_REPLY_BYTES, most_bytes),
            seconds=self.config.timeout_seconds,
        )

    def _answer(self, reply: HttpReply, request: TeacherRequest, seconds: float) -> TeacherAnswer:
        """The answer that a reply holds. Raises AttemptFailed or BadReply."""
        if not 200 <= reply.status < 300:
            raise self._refusals.of_status(reply.status, complaint_in(reply.body).message, reply.headers)
        try:
            read = read_reply(reply.body)
        except BadReply as problem:
            if problem.status is None:
                raise
            raise self._refusals.of_status(problem.status, str(problem), reply.headers, may_be_billed=True) from None
        text = self.endpoint.keyless(joined(read.content, read.reasoning))
        input_tokens, output_tokens = self._charged(request, read.input_tokens, read.output_tokens, text)
        return TeacherAnswer(
            text=text,
            finish_reason=read.finish_reason,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=self._usd(input_tokens, output_tokens),
            latency_seconds=seconds,
        )

    def _charged(
        self, request: TeacherRequest, input_tokens: int | None, output_tokens: int | None, text: str
    ) -> tuple[int, int]:
        """(input tokens, output tokens) to charge: the server's counts where they can be true, else the most there can
        be, which is what was set aside for the request. So a charge is never more than that."""
        most_input, most_output = most_input_tokens(request), self.most_output_tokens(request)
        return (
            _believed(input_tokens, len(request.prompt.encode()), most_input),
            _believed(output_tokens, len(text.encode()), most_output),
        )

    @contextmanager
    def _as_failure(self) -> Iterator[None]:
        """Whatever goes wrong inside is an AttemptFailed outside: a reply must not be able to end a run."""
        try:
            yield
        except AttemptFailed:
            raise
        except Exception as problem:
            raise self._refusals.of_fault(problem) from None

    def _usd(self, input_tokens: int, output_tokens: int) -> float:
        config = self.config
        return (input_tokens * config.usd_per_million_input + output_tokens * config.usd_per_million_output) / 1e6


def _believed(count: int | None, text_bytes: int, most: int) -> int:
    """A server's count of a text's tokens, where it is neither too small nor too large to be true; else ``most``."""
    least = min(most, -(-text_bytes // TEXT_BYTES_OF_A_TOKEN))
    return count if count is not None and least <= count <= most else most
