"""The questions: where they come from, and the benchmarks kept apart from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relift.config.section import MAY_CHANGE, Section, Share


class QuestionsConfig(Section):
    """Where the questions come from and in which batches they are asked."""

    format: Literal["arithmetic", "rows", "gsm8k", "reference"] = "rows"
    """arithmetic: made here; rows: JSONL or Parquet with named columns; gsm8k: question and an answer ending in
    `#### x`; reference: the ReLIFT reference's Parquet (chat prompt, target, reward_model.ground_truth)."""
    path: str | None = Field(None, json_schema_extra=MAY_CHANGE)
    """File or folder of the dataset; not used by arithmetic. A resumed run finds the same questions there or stops."""
    text_column: str = "question"
    """rows: the column with the question."""
    answer_column: str = "answer"
    """rows: the column with the gold answer."""
    solution_column: str | None = None
    """rows: the column with a worked solution, if there is one."""
    answer_form: Literal["boxed", "hashes", "equals"] = "boxed"
    """Where the final answer stands in a completion: the last \\boxed{}, after the last ####, after the last =."""
    solution_marker_to_box: bool = True
    """Rewrite a dataset solution's final `#### x` as \\boxed{x} where the answer form is boxed."""
    remove_calculator_notes: bool = True
    """Remove GSM8K's <<48/2=24>> notes from the dataset's solutions."""
    families: dict[str, Annotated[float, Field(gt=0)]] = Field({})
    """arithmetic: weight of each family among the training questions."""
    count: int | None = Field(None, ge=1)
    """Training questions: how many are made (arithmetic) or at most used (datasets); all of them when empty."""
    batch_size: int = Field(128, ge=1)
    """Questions per iteration."""
    held_out_share: Share = 0.02
    """Share of a dataset's questions kept for evaluation, chosen by a hash of the id; arithmetic has its own split."""
    max_bad_share: Share = 0.01
    """Share of rows without a usable gold answer above which the run refuses to start; below, they are set aside."""

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> QuestionsConfig:
        columns = {"text_column", "answer_column", "solution_column"}
        ignored = {
            "arithmetic": {"path", "held_out_share", "max_bad_share", *columns},
            "gsm8k": columns,
            "reference": columns,
            "rows": set(),
        }[self.format] & self.model_fields_set
        given = sorted(name for name in ignored if getattr(self, name) != type(self).model_fields[name].default)
        if given:
            raise ValueError(f"{', '.join(given)} would be ignored by format '{self.format}': remove it")
        return self

    @model_validator(mode="after")
    def _source_is_complete(self) -> QuestionsConfig:
        if self.format == "arithmetic":
            if not self.families or not self.count:
                raise ValueError("format 'arithmetic' needs questions.families (name to weight) and questions.count")
        elif self.families:
            raise ValueError(f"questions.families would be ignored by format '{self.format}': remove it")
        return self


class BenchmarkConfig(Section):
    """Questions that are only ever evaluated: what they share with the training questions is removed from those."""

    name: str = Field(min_length=1, max_length=40, pattern=r"^[\w.-]+$")
    """Under which its results are reported; where the file names sources, theirs follow after a slash."""
    format: Literal["rows", "gsm8k", "reference"] = "rows"
    """As in questions.format."""
    path: str = Field(json_schema_extra=MAY_CHANGE)
    """File or folder of the benchmark. A resumed run finds the same questions there or stops."""
    text_column: str = "question"
    """rows: the column with the question."""
    answer_column: str = "answer"
    """rows: the column with the gold answer."""
    questions: int | None = Field(None, ge=1)
    """At most this many, chosen by a hash of the id; all when empty."""
    samples: int | None = Field(None, ge=1)
    """k: completions per question; evaluation.samples when empty."""
    samples_of: dict[str, Annotated[int, Field(ge=1)]] = Field({})
    """k by source, where they differ: the paper takes 32 for AIME and AMC, 8 for OlympiadBench, 1 for MATH-500."""
