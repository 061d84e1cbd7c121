"""An OpenAI-compatible server, spoken to through the ``openai`` client: one attempt at a time, faults by kind.

The key is read from the environment, held by the client alone and struck out of every text that comes from outside.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relift.config import ApiTeacherConfig
from relift.errors import TeacherError
from relift.records import FinishReason, TeacherAnswer, TeacherRequest
from relift.teacher.prompt import joined, most_input_tokens, sent_parameters

OPENAI_URL = "https://api.openai.com/v1"
KEYLESS = "none"
"""What a server that wants no key is sent, since the client insists on one."""
MOST_CHARACTERS = 300
"""Of a server's message that are repeated."""
CHECK_TRIES, CHECK_SECONDS = 3, 20.0
"""Of the question at the start, whether the teacher is there."""


class AttemptFailed(Exception):
    """One attempt brought no answer."""

    def __init__(
        self, message: str, *, is_passing: bool, may_be_billed: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        """Whether the same request may succeed later."""
        self.may_be_billed = may_be_billed
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the teacher is and what opens it; never shown, logged or stored."""

    url: str
    key: str

    def __repr__(self) -> str:
        return "Endpoint(...)"

    @property
    def place(self) -> str:
        """For messages: the URL without what may be secret in it."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"

    def redacted(self, text: object) -> str:
        """A text from outside without the key, and not endless."""
        plain = str(text)
        if self.key != KEYLESS:
            plain = plain.replace(self.key, "[key]")
        return plain if len(plain) <= MOST_CHARACTERS else plain[: MOST_CHARACTERS - 3] + "..."


def endpoint_of(config: ApiTeacherConfig) -> Endpoint:
    """From recipe and environment. Raises TeacherError when the key or a usable URL is missing."""
    url = config.base_url or os.environ.get(config.url_variable) or OPENAI_URL
    if not url.startswith(("http://", "https://")):
        raise TeacherError(
            f"the teacher's base URL in {config.url_variable} does not begin with http:// or https://. Give one such "
            f"as https://api.openai.com/v1, or set teacher.api.base_url."
        )
    if config.key_variable is None:
        return Endpoint(url, KEYLESS)
    key = os.environ.get(config.key_variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        problem = "holds no usable key" if key else "is not set"
        raise TeacherError(
            f"the environment variable {config.key_variable} {problem}, and teacher.api needs the key for "
            f"{Endpoint(url, KEYLESS).place}. Export it, name another variable with teacher.api.key_variable, or set "
            f"teacher.api.key_variable=off for a server that wants none."
        )
    return Endpoint(url, key)


class ApiClient:
    """The server as one run uses it. The asynchronous methods belong to one event loop."""

    def __init__(self, config: ApiTeacherConfig) -> None:
        """Raises TeacherError when the key or a usable URL is missing; nothing is sent yet."""
        self.config = config
        self.endpoint = endpoint_of(config)
        self._client: Any = None

    def check(self) -> str | None:
        """Ask once, before any work, whether the teacher is there and knows key and model.

        None when it is; else why it seems to be down, where the recipe does not require it. Raises TeacherError for a
        refused key or an unknown model, and for a teacher that is down where it is required.
        """
        trouble = ""
        for attempt in range(CHECK_TRIES):
            if attempt:
                time.sleep(self.config.backoff_seconds)
            try:
                self._ask_for_the_model()
                return None
            except AttemptFailed as problem:
                trouble = str(problem)
                if not problem.is_passing:
                    raise TeacherError(trouble) from None
        message = f"the teacher at {self.endpoint.place} does not answer: {trouble}."
        if self.config.required:
            raise TeacherError(
                f"{message} Check teacher.api.base_url (or {self.config.url_variable}) and whether the server is up; "
                f"with teacher.api.required=false the run begins without it."
            )
        return message

    async def complete(self, request: TeacherRequest) -> TeacherAnswer:
        """One attempt. Raises AttemptFailed."""
        import openai

        if self._client is None:
            self._client = openai.AsyncOpenAI(**self._options(self.config.timeout_seconds))
        began = time.perf_counter()
        try:
            reply = await self._client.chat.completions.create(
                model=request.model,
                messages=json.loads(request.prompt),
                # A server that knows the header answers a request it has answered before without billing it again.
                extra_headers={"Idempotency-Key": request.key},
                **sent_parameters(request),
            )
        except (openai.OpenAIError, ValueError) as problem:
            raise self._explained(problem) from None
        return self._read(reply, request, time.perf_counter() - began)

    def most_usd(self, request: TeacherRequest) -> float:
        """What the request may cost at most."""
        return self._usd(most_input_tokens(request), self.most_output_tokens(request))

    def most_output_tokens(self, request: TeacherRequest) -> int:
        return int(str(sent_parameters(request)[self.config.token_parameter]))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def _options(self, timeout: float) -> dict[str, Any]:
        # Retries are ours: each attempt is paced, counted in the ledger and held against the budget.
        return {"api_key": self.endpoint.key, "base_url": self.endpoint.url, "max_retries": 0, "timeout": timeout}

    def _ask_for_the_model(self) -> None:
        """The list of models costs nothing; where it does not name ours, one short answer says whether it is there.

        Raises AttemptFailed.
        """
        import openai

        known: list[str] = []
        try:
            # A server may take a while to load a model for its first answer, but not to say that it is there.
            with openai.OpenAI(**self._options(min(CHECK_SECONDS, self.config.timeout_seconds))) as client:
                known = self._listed_models(client)
                if self.config.model not in known:
                    client.with_options(timeout=self.config.timeout_seconds).chat.completions.create(
                        model=self.config.model,
                        messages=[{"role": "user", "content": "1+1?"}],
                        extra_body={self.config.token_parameter: 16},
                    )
        except openai.NotFoundError as problem:
            raise AttemptFailed(self._no_such_model(problem, known), is_passing=False) from None
        except openai.BadRequestError as problem:
            if "model" in str(problem).lower():
                raise AttemptFailed(self._no_such_model(problem, known), is_passing=False) from None
            raise self._explained(problem) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as problem:
            raise self._explained(problem) from None

    def _listed_models(self, client: Any) -> list[str]:
        """What the server says it has; nothing where it has no such list or cannot make it, as some cannot."""
        import openai

        try:
            return [str(model.id) for model in client.models.list().data or ()]
        except openai.APIResponseValidationError:
            return []
        except openai.APIStatusError as problem:
            if isinstance(problem, openai.AuthenticationError | openai.PermissionDeniedError | openai.RateLimitError):
                raise
            return []

    def _no_such_model(self, problem: Exception, known: list[str]) -> str:
        listed = f" It has: {', '.join(known[:8])}." if known else ""
        return (
            f"the teacher at {self.endpoint.place} knows no model {self.config.model!r} "
            f"({self.endpoint.redacted(problem)}).{self.endpoint.redacted(listed)} Set teacher.api.model to one that "
            f"it serves, or correct the base URL."
        )

    def _explained(self, problem: Exception) -> AttemptFailed:
        """A fault of the client library as one of ours, with what it means for trying again and for the bill."""
        import openai

        said = self.endpoint.redacted(problem)
        if isinstance(problem, openai.AuthenticationError | openai.PermissionDeniedError):
            variable = self.config.key_variable or "no key (teacher.api.key_variable=off)"
            return AttemptFailed(
                f"the teacher at {self.endpoint.place} refused the key from {variable} (HTTP {problem.status_code}): "
                f"{said}. Export a key that may use {self.config.model!r} there",
                is_passing=False,
            )
        if isinstance(problem, openai.APIStatusError):
            code = problem.status_code
            is_passing = code in (408, 409, 425, 429) or code >= 500
            wait = seconds_to_wait(problem.response.headers) if is_passing else None
            return AttemptFailed(f"HTTP {code}: {said}", is_passing=is_passing, retry_after=wait)
        if isinstance(problem, openai.APITimeoutError):
            return AttemptFailed(
                f"no answer within {self.config.timeout_seconds:g} s", is_passing=True, may_be_billed=True
            )
        if isinstance(problem, openai.APIConnectionError):
            cause = problem.__cause__
            # By name, since the library's own HTTP client is another one from version 3 on.
            never_arrived = type(cause).__name__ in ("ConnectError", "ConnectTimeout")
            detail = self.endpoint.redacted(cause or problem) or type(cause).__name__
            return AttemptFailed(f"connection failed: {detail}", is_passing=True, may_be_billed=not never_arrived)
        return AttemptFailed(f"the answer cannot be read: {said}", is_passing=True, may_be_billed=True)

    def _read(self, reply: Any, request: TeacherRequest, seconds: float) -> TeacherAnswer:
        """The first choice. Raises AttemptFailed for a reply that is none, or a solution that was withheld."""
        try:
            choice = reply.choices[0]
            content, finish = choice.message.content or "", choice.finish_reason
            reasoning = (choice.message.model_extra or {}).get("reasoning_content")
            usage = reply.usage
            input_tokens = int(usage.prompt_tokens) if usage else most_input_tokens(request)
            output_tokens = int(usage.completion_tokens) if usage else self.most_output_tokens(request)
            text = joined(str(content), None if reasoning is None else str(reasoning))
        except (TypeError, AttributeError, IndexError, ValueError) as problem:
            raise AttemptFailed(
                f"the reply is no chat completion ({type(problem).__name__})", is_passing=True, may_be_billed=True
            ) from None
        if finish == "content_filter":
            raise AttemptFailed("withheld by the server's content filter", is_passing=False, may_be_billed=True)
        return TeacherAnswer(
            text=text if self.endpoint.key == KEYLESS else text.replace(self.endpoint.key, "[key]"),
            finish_reason=FinishReason.LENGTH if finish == "length" else FinishReason.STOP,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=self._usd(input_tokens, output_tokens),
            latency_seconds=seconds,
        )

    def _usd(self, input_tokens: int, output_tokens: int) -> float:
        config = self.config
        return (input_tokens * config.usd_per_million_input + output_tokens * config.usd_per_million_output) / 1e6


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for, in seconds or as a date; None without a usable one."""
    from email.utils import parsedate_to_datetime

    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if 0 <= seconds < 86_400 * 7:
            return seconds
    return None
