"""The questions: where they come from, and the benchmarks kept apart from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relift.config.section import MAY_CHANGE, Section, Share


class QuestionsConfig(Section):
    """Where the questions come from and in which batches they are asked."""

    format: Literal["arithmetic", "rows", "gsm8k", "reference"] = "rows"
    """arithmetic: made here; rows: named columns in JSONL, JSON, CSV, Parquet or Arrow; gsm8k: question and an answer
    ending in `#### x`; reference: the ReLIFT reference's layout (chat prompt, target, reward_model.ground_truth)."""
    path: str | None = Field(None, json_schema_extra=MAY_CHANGE)
    """File or folder of the dataset; not used by arithmetic. A resumed run finds the same questions there or stops."""
    text_column: str = "question"
    """rows: the column with the question."""
    answer_column: str = "answer"
    """rows: the column with the gold answer."""
    solution_column: str | None = None
    """rows: the column with a worked solution, if there is one."""
    answer_form: Literal["boxed", "hashes", "equals", "flexible"] = "boxed"
    """Where the final answer stands in a completion: the last \\boxed{}, after the last ####, after the last =.
    flexible, for base models: in the last \\boxed{} or after the last ####, or else where the text seems to say it
    ("The answer is", bold, the last number). What can be guessed can be farmed: prefer a mark where it is rewarded."""
    final_answer: Literal["last", "first"] = "last"
    """Which of several final answers counts. What follows the heading of another question (`Question:`, `Problem:`)
    never does."""
    answer_kind: Literal["math", "choice", "text", "number", "callable"] = "math"
    """How an answer is compared with the gold. math: by mathematical value; choice: letters, as B or A, C; text: the
    same text but for blanks; number: within answer_tolerance; callable: by answer_callable."""
    rounded_golds: bool = False
    """math: the dataset's golds may be rounded (`1.41`, `33.3 %`), so an exact answer (`\\sqrt{2}`) is right where it
    rounds to the gold, or is cut off to it, at the gold's own last digit."""
    answer_tolerance: float | None = Field(None, ge=0, le=1)
    """number: the largest accepted distance as a share of the gold's size; where the gold is 0, the distance itself."""
    answer_callable: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
    """callable: package.module:function, called as function(gold, answer) in a process of its own, returning a bool."""
    answer_seconds: float = Field(8.0, ge=0.1, le=3600)
    """callable: the function is killed when it takes longer for one answer, which is then a timeout."""
    thinking: Literal["must-close", "ignored"] = "must-close"
    """must-close: an answer counts only after the reasoning, so nothing does where `<think>` never closes; ignored: the
    tags say nothing, and the last final answer of the whole text counts."""
    control_tokens: Literal["set-aside", "plain-text"] = "set-aside"
    """A question whose text holds control tokens of the student's tokenizer, such as `<|im_end|>`. set-aside: as a row
    without a usable gold; plain-text: it is asked, its characters read one by one as any others."""
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
    """Share of a dataset's questions kept for evaluation, chosen by a hash of the text without case, blanks and
    punctuation; arithmetic has its own split."""
    max_bad_share: Share = 0.01
    """Share of rows without a usable question or gold above which the run refuses to start; below, they are set
    aside."""

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> QuestionsConfig:
        columns = {"text_column", "answer_column", "solution_column"}
        ignored = {
            "arithmetic": {"path", "held_out_share", "max_bad_share", "control_tokens", *columns},
            "gsm8k": columns,
            "reference": columns,
            "rows": set(),
        }[self.format] & self.model_fields_set
        given = sorted(name for name in ignored if getattr(self, name) != type(self).model_fields[name].default)
        if given:
            raise ValueError(f"{', '.join(given)} would be ignored by format '{self.format}': remove it")
        return self

    @model_validator(mode="after")
    def _answers_can_be_compared(self) -> QuestionsConfig:
        for setting, is_plain in (
            ("format 'arithmetic'", self.format == "arithmetic"),
            ("answer_form 'equals'", self.answer_form == "equals"),
        ):
            if is_plain and self.answer_kind != "math":
                raise ValueError(
                    f"answer_kind '{self.answer_kind}' does not go with {setting}, whose answers are plain numbers: "
                    f"leave one of them out"
                )
        if self.rounded_golds and (self.answer_kind != "math" or self.answer_form == "equals"):
            what = f"answer_kind '{self.answer_kind}'" if self.answer_kind != "math" else "answer_form 'equals'"
            raise ValueError(f"rounded_golds would be ignored by {what}: remove it")
        if self.final_answer == "first" and self.answer_form == "equals":
            raise ValueError("final_answer 'first' would be ignored by answer_form 'equals': remove it")
        kinds = {"answer_tolerance": "number", "answer_callable": "callable", "answer_seconds": "callable"}
        for name, kind in kinds.items():
            is_set = getattr(self, name) != type(self).model_fields[name].default
            if is_set and self.answer_kind != kind:
                raise ValueError(f"{name} would be ignored by answer_kind '{self.answer_kind}': remove it")
            if not is_set and self.answer_kind == kind and name != "answer_seconds":
                raise ValueError(f"answer_kind '{kind}' needs questions.{name}")
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
    max_bad_share: Share = 0.01
    """As in questions.max_bad_share."""
    rounded_golds: bool = False
    """As in questions.rounded_golds, for this benchmark alone."""
    questions: int | None = Field(None, ge=1)
    """At most this many, chosen by a hash of the id; all when empty."""
    samples: int | None = Field(None, ge=1)
    """k: completions per question; evaluation.samples when empty."""
    temperature: float | None = Field(None, ge=0)
    """evaluation.temperature when empty. Two benchmarks of one file give greedy accuracy and pass@k."""
    samples_of: dict[str, Annotated[int, Field(ge=1)]] = Field({})
    """k by source, where they differ: the paper takes 32 for AIME and AMC, 8 for OlympiadBench, 1 for MATH-500."""
