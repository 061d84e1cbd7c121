"""What it means that a teacher's server refuses a request, or that the line to it fails: for whom, and for how long."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import httpx

from relift.config import ApiTeacherConfig
from relift.teacher.endpoint import Endpoint
from relift.teacher.failure import AttemptFailed, BadReply, Fault
from relift.teacher.reply import Complaint

log = logging.getLogger(__name__)
ADVICE = {
    402: ". Top up the account that the key belongs to",
    404: ". Correct the base URL, or put the model teacher.api.model back on the server",
}
"""For refusals of every request, by their status."""


class Refusals:
    """Of one server under one configuration, in words that say which setting to change."""

    def __init__(self, config: ApiTeacherConfig, endpoint: Endpoint) -> None:
        self._config = config
        self._endpoint = endpoint

    def of_fault(self, problem: Exception) -> AttemptFailed:
        """A fault of the line or of a reply as one of ours, with what it means for trying again and for the bill."""
        said = self._endpoint.redacted(problem)
        if isinstance(problem, BadReply):
            return AttemptFailed(said, problem.fault, may_be_billed=problem.fault is not Fault.TEACHER)
        if isinstance(problem, httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError):
            message = f"the teacher at {self._endpoint.shown} has no usable base URL: {said}"
            return AttemptFailed(message, Fault.TEACHER)
        if isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout):
            return AttemptFailed(f"connection failed: {said or type(problem).__name__}", Fault.PASSING)
        if isinstance(problem, TimeoutError):
            return AttemptFailed(said, Fault.PASSING, may_be_billed=True)
        if isinstance(problem, httpx.HTTPError | OSError):
            message = f"connection failed: {said or type(problem).__name__}"
            return AttemptFailed(message, Fault.PASSING, may_be_billed=True)
        # Not foreseen, so it is ours to mend; it costs this answer all the same, not the run.
        log.error("a reply of the teacher at %s could not be handled", self._endpoint.shown, exc_info=problem)
        return AttemptFailed(
            f"the reply could not be handled ({type(problem).__name__})", Fault.PASSING, may_be_billed=True
        )

    def of_status(
        self, status: int, words: str, headers: Mapping[str, str], *, may_be_billed: bool = False
    ) -> AttemptFailed:
        """What an error's status means."""
        said = self._endpoint.redacted(words)
        if status in (401, 403):
            variable = self._config.key_variable or "no key (teacher.api.key_variable=off)"
            return AttemptFailed(
                f"the teacher at {self._endpoint.shown} refused the key from {variable} (HTTP {status}): "
                f"{said}. Export a key that may use {self._config.model!r} there",
                Fault.TEACHER,
                may_be_billed=may_be_billed,
            )
        if status in (408, 409, 425, 429) or not 400 <= status < 500:
            wait = seconds_to_wait(headers)
            message = f"HTTP {status}: {said}"
            return AttemptFailed(message, Fault.PASSING, may_be_billed=may_be_billed, retry_after=wait)
        advice = ADVICE.get(status, "")
        fault = Fault.TEACHER if advice else Fault.REQUEST
        return AttemptFailed(f"HTTP {status}: {said}{advice}", fault, may_be_billed=may_be_billed)

    def no_such_model(self, complaint: Complaint, known: list[str]) -> str:
        listed = f" It has: {', '.join(known[:8])}." if known else ""
        return (
            f"the teacher at {self._endpoint.shown} knows no model {self._config.model!r} "
            f"({self._endpoint.redacted(complaint.message)}).{self._endpoint.redacted(listed)} Set teacher.api.model "
            f"to one that it serves, or correct the base URL."
        )

    def refused_question(self, complaint: Complaint, most: int, known: list[str]) -> str:
        """Why the question at the start was refused, with the setting that its message speaks of.

        ``most``: tokens that were asked for.
        """
        said, config = f"{complaint.param} {complaint.message}".lower(), self._config
        other = "max_tokens" if config.token_parameter == "max_completion_tokens" else "max_completion_tokens"
        if config.token_parameter in said and "support" in said:
            setting = f"Set teacher.api.token_parameter={other}"
        elif config.token_parameter in said or "context" in said or "too large" in said:
            setting = f"Set teacher.api.max_tokens below {most}, or teacher.api.token_parameter={other}"
        elif "temperature" in said:
            setting = "Set teacher.api.temperature=off, or to a value that the model takes"
        elif "system" in said or "role" in said:
            setting = 'Set teacher.api.instruction="" and put what it asks for into teacher.api.prompt'
        elif "model" in said:
            return self.no_such_model(complaint, known)
        else:
            setting = "Correct teacher.api (token_parameter, max_tokens, temperature, instruction, base_url)"
        return (
            f"the teacher at {self._endpoint.shown} refuses a question as the run would ask it "
            f"({config.token_parameter}={most}, temperature={config.temperature}): "
            f"{self._endpoint.redacted(complaint.message)}. {setting}."
        )


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
