"""What a run keeps and looks at: checkpoints, evaluation, ledger, self-checks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from relift.config.questions import BenchmarkConfig
from relift.config.section import MAY_CHANGE, Section, Share, none_if_off


class CheckpointConfig(Section):
    """Snapshots of weights, optimizers, buffer and counters."""

    every: int = Field(10, ge=1, json_schema_extra=MAY_CHANGE)
    """Iterations between checkpoints; a resumed run replays at most this many."""
    keep: int = Field(2, ge=1, json_schema_extra=MAY_CHANGE)
    """Newest checkpoints kept, beside the best evaluated one; rollouts are kept since the oldest of them."""


class EvaluationConfig(Section):
    """Held-out evaluation in a run: before the first and after the last iteration, and in between where asked."""

    every: int | None = Field(None, ge=1, json_schema_extra=MAY_CHANGE)
    """Iterations between evaluations; empty: only at the start and the end."""
    questions: int = Field(400, ge=1)
    """Held-out questions of each benchmark (family, source), at most."""
    interim_questions: int = Field(40, ge=1, json_schema_extra=MAY_CHANGE)
    """The same for the evaluations in between."""
    samples: int = Field(1, ge=1)
    """k: completions per question."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    max_tokens: int | None = Field(None, ge=1)
    """Completion tokens at most; rollout.max_tokens when empty."""
    answer_form: Literal["boxed", "hashes", "equals", "flexible"] | None = None
    """Where the final answer stands; as in questions.answer_form when empty."""
    confirm: bool = False
    """Ask all of it a second time with other draws at the start and the end: the noise beside a gain."""
    benchmarks: tuple[BenchmarkConfig, ...] = ()
    """Evaluated at the start and the end only: checkpoints are never chosen by a benchmark."""
    overlap: Literal["remove", "refuse"] = "remove"
    """Questions of the dataset that stand in a benchmark, in whatever spelling: they are removed from the dataset, and
    how many is said; or the run refuses to start and lists some."""
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = None
    """Jaccard similarity of the words, numbers all counting as one, from which a question of the dataset stands in a
    benchmark too; empty: only the same one in another spelling does. Not for questions made from a template."""

    @field_validator("near_duplicates", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)

    @model_validator(mode="after")
    def _draws_can_differ(self) -> EvaluationConfig:
        if self.confirm and self.temperature == 0:
            raise ValueError(
                "evaluation.confirm samples the same questions again with other draws, and evaluation.temperature=0 "
                "draws nothing: set a temperature above 0 (with evaluation.samples of 8, say), or confirm=false"
            )
        return self

    def rounds_golds(self, source: str) -> bool | None:
        """Whether the golds of a benchmark may be rounded, by a question's source; None where it is of no benchmark."""
        name = source.partition("/")[0]
        return next((benchmark.rounded_golds for benchmark in self.benchmarks if benchmark.name == name), None)

    def temperature_for(self, source: str) -> float:
        """Of a question by its source."""
        name = source.partition("/")[0]
        own = next((benchmark.temperature for benchmark in self.benchmarks if benchmark.name == name), None)
        return self.temperature if own is None else own

    def samples_for(self, source: str) -> int:
        """k of a question by its source, e.g. ``"reference/aime"``."""
        name, _, part = source.partition("/")
        for benchmark in self.benchmarks:
            if benchmark.name == name:
                return benchmark.samples_of.get(part) or benchmark.samples or self.samples
        return self.samples


class LedgerConfig(Section):
    """The hard-example database of the run."""

    publish_seconds: float = Field(60.0, gt=0, json_schema_extra=MAY_CHANGE)
    """A snapshot for readers is published at checkpoints and at most this often."""


class ChecksConfig(Section):
    """Self-checks that stop a run rather than warn (contract 9)."""

    every: int = Field(10, ge=1, json_schema_extra=MAY_CHANGE)
    """Iterations between checks of engine against trainer and of the gradient's accumulation, from the first one on."""
    sequences: int = Field(8, ge=1, json_schema_extra=MAY_CHANGE)
    """Rollouts that such a check looks at, whatever their advantage."""
    max_logprob_gap: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Mean |trainer - engine| log-probability of the sampled tokens, in nats, above which the run stops; empty: 1e-3
    in float32, 0.05 in bfloat16 (measured: 0.02)."""
    max_handover_gap: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """The same after weights were handed to an engine with a copy of its own; empty: 1e-4 in float32, 0.05 in
    bfloat16."""
    max_split_error: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Relative distance between the gradients of one batch under two splits; empty: 1e-3 in float32, 0.1 in
    bfloat16."""
    max_packing_gap: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Largest difference of a token's log-probability between packed and single sequences, in nats; empty: 1e-3 in
    float32, 0.5 in bfloat16."""
    max_failed_share: Share = Field(0.1, json_schema_extra=MAY_CHANGE)
    """Share of an iteration's verdicts that are timeout or error above which the run stops."""
    max_skipped_updates: int = Field(10, ge=1, json_schema_extra=MAY_CHANGE)
    """Updates refused in a row for a gradient that is not finite or above its limit, after which the run stops."""
