"""The whole tree."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from relift.config.interleave import BufferConfig, GateConfig
from relift.config.keeping import CheckpointConfig, ChecksConfig, EvaluationConfig, LedgerConfig
from relift.config.learning import RlConfig, ScheduleConfig, SftConfig
from relift.config.policy import PolicyConfig, RolloutConfig
from relift.config.questions import QuestionsConfig
from relift.config.section import MAY_CHANGE, Section, none_if_off
from relift.config.teacher import TeacherConfig


class RunConfig(Section):
    """Everything that decides what a run does; stored with it."""

    recipe: str = "paper-v2"
    """Name of the recipe that this tree came from."""
    seed: int = Field(0, ge=0)
    """All randomness is a function of it (contract 4)."""
    iterations: int | None = Field(None, ge=1, json_schema_extra=MAY_CHANGE)
    """Batches of questions; once through all questions when empty."""
    store: str = Field("runs", json_schema_extra=MAY_CHANGE)
    """Folder that holds the runs, or s3://bucket/prefix; endpoint and credentials come as AWS's tools take them."""
    scratch: str = Field("runs", json_schema_extra=MAY_CHANGE)
    """Folder with the working copies of runs whose store is s3://; unused where the store is a folder itself."""
    questions: QuestionsConfig
    policy: PolicyConfig = PolicyConfig()
    rollout: RolloutConfig = RolloutConfig()
    rl: RlConfig = RlConfig()
    sft: SftConfig | None = SftConfig()
    """off: plain GRPO, nothing else changed."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Of both learning rates, by iteration: a supervised update never moves it."""
    shared_optimizer: bool = False
    """One AdamW for both updates: moments, betas and weight decay are the RL update's, rate and clip each one's own.
    Halves the optimizer's memory. A departure from the paper."""
    gate: GateConfig = GateConfig()
    buffer: BufferConfig = BufferConfig()
    teacher: TeacherConfig = TeacherConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig | None = EvaluationConfig()
    """off: no held-out evaluation."""
    ledger: LedgerConfig = LedgerConfig()
    checks: ChecksConfig = ChecksConfig()

    @field_validator("sft", "evaluation", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)

    @model_validator(mode="after")
    def _sections_agree(self) -> RunConfig:
        if self.sft and self.buffer.capacity is not None and self.buffer.capacity < self.sft.batch_size:
            raise ValueError(
                f"sft.batch_size={self.sft.batch_size} can never be reached: buffer.capacity is {self.buffer.capacity},"
                f" so no supervised update would run. Raise buffer.capacity or lower sft.batch_size"
            )
        if self.rl.questions_per_update > self.questions.batch_size:
            raise ValueError(
                f"rl.questions_per_update={self.rl.questions_per_update} is larger than the batch of "
                f"questions.batch_size={self.questions.batch_size}: lower it to at most the batch"
            )
        return self
