"""An OpenAI-compatible server, spoken to through the ``openai`` client: one attempt at a time, faults by kind.

The key is read from the environment, held by the client alone and struck out of every text that comes from outside.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

from relift.config import ApiTeacherConfig
from relift.errors import TeacherError
from relift.records import FinishReason, TeacherAnswer, TeacherRequest
from relift.teacher.prompt import joined, most_input_tokens, parameters_of, sent_parameters

OPENAI_URL = "https://api.openai.com/v1"
KEYLESS = "none"
"""What a server that wants no key is sent, since the client insists on one."""
MOST_CHARACTERS = 300
"""Of a server's message that are repeated."""
CHECK_TRIES, CHECK_SECONDS, CHECK_TOKENS = 3, 20.0, 16
"""Of the question at the start, whether the teacher is there."""
NO_ROOM = "could not finish the message"
"""How OpenAI's reasoning models say that so few tokens were too few: all else about the request was right."""


ADVICE = {
    402: ". Top up the account that the key belongs to",
    404: ". Correct the base URL, or put the model teacher.api.model back on the server",
}
"""For refusals of every request, by their status."""


class Fault(Enum):
    """Why an attempt brought no answer, by what it means for the next one."""

    PASSING = auto()
    """The same request may succeed in a while."""
    TEACHER = auto()
    """No request can succeed: the key, the account, the model or the address is refused."""
    REQUEST = auto()
    """This request was refused; whether others are too, they will show."""
    WITHHELD = auto()
    """It was answered, and the answer is kept back; so would another one be."""


class AttemptFailed(Exception):
    """One attempt brought no answer."""

    def __init__(
        self, message: str, fault: Fault, *, may_be_billed: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.fault = fault
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
    # The URL stays unsaid: a malformed one may hold a secret anywhere.
    if problem := _url_fault(url):
        setting = "teacher.api.base_url" if config.base_url else config.url_variable
        raise TeacherError(
            f"the teacher's base URL in {setting} {problem}, so nobody could be asked. Give one such as "
            f"https://api.openai.com/v1 or http://localhost:8000/v1 in teacher.api.base_url or {config.url_variable}."
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


def _url_fault(url: str) -> str:
    """What is wrong with a base URL; empty where nothing is."""
    if not url.startswith(("http://", "https://")):
        return "does not begin with http:// or https://"
    if not url.isprintable() or " " in url:
        return "holds a blank or a control character"
    try:
        parts = urlsplit(url)
        return "" if parts.hostname and parts.port != 0 else "names no host, or port 0"
    except ValueError:
        return "has a host or a port that cannot be read (a port is a number up to 65535)"


class ApiClient:
    """The server as one run uses it. The asynchronous methods belong to one event loop."""

    def __init__(self, config: ApiTeacherConfig) -> None:
        """Raises TeacherError when the key or a usable URL is missing; nothing is sent yet."""
        self.config = config
        self.endpoint = endpoint_of(config)
        self._client: Any = None

    def check(self) -> str | None:
        """Ask once, before any work, whether the teacher is there and takes our key, model and parameters.

        None when it does; else why it seems to be down, where the recipe does not require it. Raises TeacherError for
        what it refuses, with the setting to change, and for a teacher that is down where it is required.
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
                if problem.fault is not Fault.PASSING:
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
        """The list of models, in case ours is unknown; then one short question, as the run will ask.

        Raises AttemptFailed.
        """
        import openai

        known: list[str] = []
        try:
            # A server may take a while to load a model for its first answer, but not to say that it is there.
            with openai.OpenAI(**self._options(min(CHECK_SECONDS, self.config.timeout_seconds))) as client:
                known = self._listed_models(client)
                client.with_options(timeout=self.config.timeout_seconds).chat.completions.create(
                    model=self.config.model,
                    messages=[{"role": "user", "content": "1+1?"}],
                    extra_body=parameters_of(self.config, CHECK_TOKENS),
                )
        except openai.NotFoundError as problem:
            raise AttemptFailed(self._no_such_model(problem, known), Fault.TEACHER) from None
        except (openai.BadRequestError, openai.UnprocessableEntityError) as problem:
            if NO_ROOM not in str(problem).lower():
                raise AttemptFailed(self._refused_question(problem, known), Fault.REQUEST) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as problem:
            raise self._explained(problem) from None
        except Exception as problem:
            if type(problem).__name__ != "InvalidURL":  # by name, as below; rarer faults of a URL are found there alone
                raise
            message = f"the teacher at {self.endpoint.place} has no usable base URL: {self.endpoint.redacted(problem)}"
            raise AttemptFailed(message, Fault.TEACHER) from None

    def _listed_models(self, client: Any) -> list[str]:
        """What the server says it has; nothing where it has no such list, cannot make it, or keeps it from our key."""
        import openai

        try:
            return [str(model.id) for model in client.models.list().data or ()]
        except (openai.APIResponseValidationError, openai.APIStatusError):
            return []

    def _no_such_model(self, problem: Exception, known: list[str]) -> str:
        listed = f" It has: {', '.join(known[:8])}." if known else ""
        return (
            f"the teacher at {self.endpoint.place} knows no model {self.config.model!r} "
            f"({self.endpoint.redacted(problem)}).{self.endpoint.redacted(listed)} Set teacher.api.model to one that "
            f"it serves, or correct the base URL."
        )

    def _refused_question(self, problem: Any, known: list[str]) -> str:
        """Why the question at the start was refused, with the setting that its message speaks of."""
        said, config = f"{problem.param or ''} {problem}".lower(), self.config
        other = "max_tokens" if config.token_parameter == "max_completion_tokens" else "max_completion_tokens"
        if config.token_parameter in said:
            setting = f"Set teacher.api.token_parameter={other}"
        elif "temperature" in said:
            setting = "Set teacher.api.temperature=off, or to a value that the model takes"
        elif "model" in said:
            return self._no_such_model(problem, known)
        else:
            setting = "Correct teacher.api (token_parameter, temperature, base_url)"
        return (
            f"the teacher at {self.endpoint.place} refuses a question as the run would ask it "
            f"({config.token_parameter}={CHECK_TOKENS}, temperature={config.temperature}): "
            f"{self.endpoint.redacted(problem)}. {setting}."
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
                Fault.TEACHER,
            )
        if isinstance(problem, openai.APIStatusError):
            code = problem.status_code
            if code in (408, 409, 425, 429) or code >= 500:
                wait = seconds_to_wait(problem.response.headers)
                return AttemptFailed(f"HTTP {code}: {said}", Fault.PASSING, retry_after=wait)
            advice = ADVICE.get(code, "")
            return AttemptFailed(f"HTTP {code}: {said}{advice}", Fault.TEACHER if advice else Fault.REQUEST)
        if isinstance(problem, openai.APITimeoutError):
            return AttemptFailed(
                f"no answer within {self.config.timeout_seconds:g} s", Fault.PASSING, may_be_billed=True
            )
        if isinstance(problem, openai.APIConnectionError):
            cause = problem.__cause__
            # By name, since the library's own HTTP client is another one from version 3 on.
            never_arrived = type(cause).__name__ in ("ConnectError", "ConnectTimeout")
            detail = self.endpoint.redacted(cause or problem) or type(cause).__name__
            return AttemptFailed(f"connection failed: {detail}", Fault.PASSING, may_be_billed=not never_arrived)
        return AttemptFailed(f"the answer cannot be read: {said}", Fault.PASSING, may_be_billed=True)

    def _read(self, reply: Any, request: TeacherRequest, seconds: float) -> TeacherAnswer:
        """The first choice. Raises AttemptFailed for a reply that is none, or a solution that was withheld."""
        try:
            choice = reply.choices[0]
            content, finish = choice.message.content or "", choice.finish_reason
            more = choice.message.model_extra or {}
            # Servers differ in the name, and some send both.
            reasoning = more.get("reasoning_content") or more.get("reasoning")
            usage = reply.usage
            input_tokens = int(usage.prompt_tokens) if usage else most_input_tokens(request)
            output_tokens = int(usage.completion_tokens) if usage else self.most_output_tokens(request)
            text = joined(str(content), None if reasoning is None else str(reasoning))
        except (TypeError, AttributeError, IndexError, ValueError) as problem:
            raise AttemptFailed(
                f"the reply is no chat completion ({type(problem).__name__})", Fault.PASSING, may_be_billed=True
            ) from None
        if finish == "content_filter":
            raise AttemptFailed("withheld by the server's content filter", Fault.WITHHELD, may_be_billed=True)
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
