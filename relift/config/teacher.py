"""Where demonstrations come from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, field_validator, model_validator

from relift.config.plugin import BY_IMPORT, BY_NAME, PluginConfig, by_name
from relift.config.section import MAY_CHANGE, Section, none_if_off

MOST_TOKENS = 10_000_000
"""More than any model writes, and few enough to be counted."""


class ApiTeacherConfig(Section, allow_inf_nan=False):
    """A teacher behind an OpenAI-compatible API. Its key comes from the environment, never from here."""

    model: str = Field(min_length=1)
    """Name of the model, as the server knows it."""
    base_url: str | None = Field(None, json_schema_extra=MAY_CHANGE)
    """Such as http://localhost:8000/v1; what url_variable names when empty, and without that api.openai.com."""
    url_variable: str = Field("OPENAI_BASE_URL", json_schema_extra=MAY_CHANGE)
    """Environment variable that holds the base URL."""
    key_variable: str | None = Field("OPENAI_API_KEY", json_schema_extra=MAY_CHANGE)
    """Environment variable that holds the key; off for a server that wants none."""
    required: bool = Field(True, json_schema_extra=MAY_CHANGE)
    """Whether a teacher that is down at the start stops the run; if not, the run begins and says so. A wrong key or
    model always stops it."""
    instruction: str | None = None
    """System message. Empty: one that asks for the answer in questions.answer_form; "" sends none."""
    prompt: str = "{question}"
    """User message; {question} is where the question stands."""
    candidates: int = Field(2, ge=1, le=64)
    """Solutions asked for each question; the shortest admitted one becomes the demonstration."""
    rounds: int = Field(2, ge=1, le=64)
    """Times that so many candidates are asked for a question while none was admitted."""
    temperature: float | None = Field(0.7, ge=0, le=2)
    """Of the teacher's sampling; off for models that do not take one."""
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    """Tokens the teacher may write, hidden reasoning included; teacher.max_tokens when empty."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls that limit; newer models of OpenAI want max_completion_tokens."""
    concurrency: int = Field(8, ge=1, json_schema_extra=MAY_CHANGE)
    """Requests under way at the same time, at most."""
    timeout_seconds: float = Field(120.0, gt=0, json_schema_extra=MAY_CHANGE)
    """For a request in all, from the connection to the last byte of its answer; it is then given up and sent again."""
    attempts: int = Field(5, ge=1, json_schema_extra=MAY_CHANGE)
    """Times a request is sent before its question waits for a later iteration."""
    backoff_seconds: float = Field(0.5, gt=0, json_schema_extra=MAY_CHANGE)
    """First wait before a request is sent again, then doubled, with jitter; a server's Retry-After rules over it."""
    requests_per_minute: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Requests sent in any minute, retries included; no limit when empty."""
    tokens_per_minute: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Tokens of prompts and answers in any minute, give or take one request; no limit when empty."""
    budget_usd: float | None = Field(None, ge=0, json_schema_extra=MAY_CHANGE)
    """Money the run may spend in all; no limit when empty. What may be billed although no answer came is counted, and
    the question at the start too."""
    usd_per_million_input: float = Field(0.0, ge=0, json_schema_extra=MAY_CHANGE)
    """Price of a million prompt tokens."""
    usd_per_million_output: float = Field(0.0, ge=0, json_schema_extra=MAY_CHANGE)
    """Price of a million answered tokens."""

    @field_validator("key_variable", "temperature", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)

    @field_validator("key_variable", "url_variable")
    @classmethod
    def _is_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z_a-z][A-Z_a-z0-9]{0,63}", value):
            # The value stays unsaid: it may be the key itself.
            raise ValueError("give the name of an environment variable such as OPENAI_API_KEY, never a key or URL")
        return value

    @field_validator("base_url")
    @classmethod
    def _url_holds_no_secret(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^@?#]+$", value):
            raise ValueError("give an http:// or https:// URL without user, password or query; secrets go into the key")
        return value

    @model_validator(mode="after")
    def _settings_agree(self) -> ApiTeacherConfig:
        if "{question}" not in self.prompt:
            raise ValueError("prompt has no {question}: the teacher would never see the question")
        if self.candidates * self.rounds > 1 and self.temperature == 0:
            raise ValueError("candidates at temperature 0 are equal: set candidates and rounds to 1, or raise it")
        if self.budget_usd is not None and not self.usd_per_million_input and not self.usd_per_million_output:
            raise ValueError("budget_usd never binds while both prices (usd_per_million_input, _output) are 0")
        return self


Source = Annotated[
    Annotated[Literal["dataset", "api"], Tag(BY_NAME)] | Annotated[PluginConfig, Tag(BY_IMPORT)],
    by_name("dataset", "api"),
]


class TeacherConfig(Section):
    """Where demonstrations come from, asked in this order."""

    sources: tuple[Source, ...] = Field(("dataset",), min_length=1)
    """Asked in this order, each for what the ones before could not solve. dataset: the solution column of the
    questions; api: the model of teacher.api; or one's own by import path, package.module:Name, or as { kind, settings
    }."""
    max_tokens: int = Field(8192, ge=1, le=MOST_TOKENS)
    """A longer demonstration, by the student's tokenizer with end-of-sequence, is refused, never cut."""
    wait_seconds: float = Field(0.0, ge=0, json_schema_extra=MAY_CHANGE)
    """How long an iteration waits for answers once its RL update is done, or before it where the rule teaches in it;
    what comes later is taught later."""
    api: ApiTeacherConfig | None = None
    """The model behind the source api."""

    @field_validator("api", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)

    @model_validator(mode="after")
    def _sources_are_there(self) -> TeacherConfig:
        if any(source in self.sources[:index] for index, source in enumerate(self.sources)):
            named = (source if isinstance(source, str) else source.kind for source in self.sources)
            raise ValueError(f"sources names one twice: {', '.join(named)}")
        if ("api" in self.sources) is not (self.api is not None):
            raise ValueError(
                "the source 'api' and the section teacher.api belong together: set teacher.api.model and name 'api' in "
                'teacher.sources, such as ["dataset", "api"], or leave both out'
            )
        return self
