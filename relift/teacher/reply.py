"""The door: what a server sent, as records of known types, or a named reason why it is no answer.

Nothing of a reply is looked at before it went through here. JSON is read by pydantic, which takes no half of a
character, no bytes that are not UTF-8, and no nesting that would end the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from relift.records import FinishReason
from relift.teacher.failure import BadReply, Fault

NATURAL_ENDS = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete"})
"""What servers call it when a model ended its answer, in small letters: OpenAI and most others, Together, Text
Generation Inference, Anthropic, Cohere. We send no stop sequence, so one that ended an answer is the model's own."""
OUT_OF_TOKENS = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
)
"""And when it ran out of tokens: OpenAI, Anthropic and Gemini, Mistral."""
KEPT_BACK = "content_filter"
MOST_CHOICES, MOST_PARTS = 64, 4096
"""We ask for one choice; more parts than that is no text any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer as it came, e.g. content ``"... \\boxed{282}"``, output_tokens 120."""

    content: str
    reasoning: str | None
    """What the server sent apart from the content, as its own field or as parts of the content."""
    finish_reason: FinishReason
    input_tokens: int | None
    output_tokens: int | None
    """As the server counts them; None where it does not say, or says what is no count."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says in place of an answer, e.g. message ``"Unsupported value"``, param ``"temperature"``."""

    message: str
    param: str = ""
    status: int | None = None
    """The HTTP status that the body names; servers that pass on another one's answer send it with a 200."""


class _Door(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Text(_Door):
    type: Literal["text"]
    text: str


class _Reasoning(_Door):
    type: Literal["reasoning"]
    text: str


class _Thinking(_Door):
    type: Literal["thinking"]
    thinking: str | Annotated[list[_Text], Field(max_length=MOST_PARTS, fail_fast=True)]

    @property
    def text(self) -> str:
        return self.thinking if isinstance(self.thinking, str) else "".join(part.text for part in self.thinking)


# The tag decides alone, so that an unknown one is told by its name.
_Part = Annotated[_Text | _Reasoning | _Thinking, Field(discriminator="type")]
_Parts = Annotated[list[_Part], Field(max_length=MOST_PARTS, fail_fast=True)]


class _Message(_Door):
    content: str | _Parts | None = None
    # Servers differ in the name, and some send both.
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(_Door):
    message: _Message
    finish_reason: str | None = None
    error: JsonValue = None


class _Completion(_Door):
    choices: list[_Choice] = Field(min_length=1, max_length=MOST_CHOICES, fail_fast=True)
    usage: JsonValue = None
    """Not checked as the rest is: an answer is worth having without it."""


class _Model(_Door):
    id: str


class _Models(_Door):
    data: list[_Model] = Field(max_length=10_000, fail_fast=True)


class _Complaint(_Door):
    error: JsonValue = None
    message: JsonValue = None
    detail: JsonValue = None


_Said = TypeAdapter(_Complaint)


def read_reply(body: bytes | bytearray) -> Reply:
    """The first choice of a chat completion. Raises BadReply, whatever the bytes."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as problem:
        complaint = complaint_in(body)
        said = f"; the server says: {complaint.message}" if complaint.message else ""
        fault = f"the reply is no chat completion ({_first_fault(problem)}){said}"
        raise BadReply(fault, status=complaint.status) from None
    choice = completion.choices[0]
    finish_reason = _finish_reason(choice)
    content, apart = _texts(choice.message.content)
    return Reply(
        content=content,
        reasoning=apart or choice.message.reasoning_content or choice.message.reasoning,
        finish_reason=finish_reason,
        input_tokens=_count(completion.usage, "prompt_tokens"),
        output_tokens=_count(completion.usage, "completion_tokens"),
    )


def complaint_in(body: bytes | bytearray) -> Complaint:
    """What an error body says, in whichever of the usual fields; the text itself where it is none of them."""
    try:
        said = _Said.validate_json(body)
    except ValidationError:
        return Complaint(message=bytes(body[:4096]).decode("utf-8", "replace").strip())
    error = said.error
    if isinstance(error, dict):
        code = error.get("code")
        is_status = type(code) is int and 400 <= code < 600
        return Complaint(
            message=_words(error.get("message")) or _words(error),
            param=_words(error.get("param")),
            status=code if is_status and isinstance(code, int) else None,
        )
    return Complaint(message=_words(error) or _words(said.message) or _words(said.detail))


def models_in(body: bytes | bytearray) -> list[str]:
    """Ids of a list of models; empty where the bytes are none."""
    try:
        return [model.id for model in _Models.model_validate_json(body).data]
    except ValidationError:
        return []


def _finish_reason(choice: _Choice) -> FinishReason:
    """Raises BadReply where the answer is not known to have come to its end."""
    name = (choice.finish_reason or "").lower()
    if name in NATURAL_ENDS:
        return FinishReason.STOP
    if name in OUT_OF_TOKENS:
        return FinishReason.LENGTH
    if name == KEPT_BACK:
        raise BadReply("withheld by the server's content filter", Fault.WITHHELD)
    named = "none" if choice.finish_reason is None else f"{choice.finish_reason[:80]!r}"
    error = choice.error
    words = _words(error.get("message") if isinstance(error, dict) else error)
    said = f"; the server says: {words}" if words else ""
    raise BadReply(
        f"the answer is not known to be finished: its finish_reason is {named}, and an end is one of "
        f"{', '.join(sorted(NATURAL_ENDS))}{said}",
        Fault.UNFINISHED,
    )


def _texts(content: str | list[_Text | _Reasoning | _Thinking] | None) -> tuple[str, str]:
    """(what is said, what is thought) of a content that is one text or a list of parts."""
    if content is None or isinstance(content, str):
        return content or "", ""
    said = "".join(part.text for part in content if isinstance(part, _Text))
    thought = "\n\n".join(part.text for part in content if not isinstance(part, _Text))
    return said, thought


def _count(usage: JsonValue, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int else None


def _words(value: JsonValue) -> str:
    """A message, if that is what it is; a tree is named by its keys, never spelled out."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict) and value:
        return f"an error with {', '.join(list(value)[:8])}"
    return ""


def _first_fault(problem: ValidationError) -> str:
    """Where the reply is something else than it should be, e.g. ``choices.0.message.content: Input should be ...``.

    Of a value that may be one of several things, what was nearest to being one.
    """
    faults = problem.errors(include_input=False, include_url=False, include_context=False)
    fault = max(faults, key=lambda one: len(one["loc"]))
    # Without pydantic's own names for the branches of a union, such as list[tagged-union[...]].
    where = ".".join(str(part) for part in fault["loc"] if part != "str" and "[" not in str(part))
    return f"{where}: {fault['msg']}" if where else fault["msg"]
