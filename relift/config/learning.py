"""The two updates: losses, learning rates, optimizers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from relift.config.section import Section, Share, none_if_off


class ClipConfig(Section):
    """The clipped surrogate of PPO with the two bounds of DAPO and the dual clip."""

    low: float = Field(0.2, ge=0, lt=1)
    """The ratio is clipped below at 1 - low."""
    high: float = Field(0.28, ge=0)
    """The ratio is clipped above at 1 + high."""
    dual: float | None = Field(3.0, gt=1)
    """Where the advantage is negative the surrogate is at least dual * advantage; empty: no dual clip."""


class ScheduleConfig(Section):
    """Factor on a learning rate over the iterations of a run: linear warm-up, hold, linear decay."""

    warmup_iterations: int = Field(0, ge=0)
    """The factor climbs to 1 over this many iterations."""
    hold_share: Share = 1.0
    """Share of all iterations after which the decay starts."""
    final_share: Share = 1.0
    """The factor that the decay ends at; 1 is constant."""


class AdamConfig(Section):
    """AdamW."""

    lr: float = Field(1e-6, gt=0)
    """Learning rate before the schedule."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of the second moment."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay."""
    grad_clip: float = Field(0.5, gt=0)
    """The gradient's norm is clipped to this, once per optimizer step."""
    skip_above: float | None = Field(None, gt=0)
    """An optimizer step whose gradient norm is above this is skipped and counted; one that is not finite always."""


class RlConfig(Section):
    """The GRPO update."""

    questions_per_update: int = Field(64, ge=1)
    """Groups per optimizer step; a batch of 128 makes two steps."""
    scale: Literal["none", "std"] = "none"
    """Advantages: distance to the group's mean, or that divided by the group's standard deviation."""
    aggregation: Literal["token-mean", "seq-mean", "constant"] = "token-mean"
    """How token losses become one number; constant divides by sequences * rollout.max_tokens."""
    clip: ClipConfig | None = ClipConfig()
    """off: no clipping (paper-v1)."""
    entropy_weight: float = Field(0.0, ge=0)
    """Weight of the entropy bonus; 0 allows groups without signal to be skipped."""
    truncated: Literal["zero", "mask"] = "zero"
    """A completion that ran out of tokens: reward 0 as in the paper, or left out of statistics and loss."""
    optimizer: AdamConfig = AdamConfig()
    """AdamW of the RL update."""

    @field_validator("clip", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)


class SftConfig(Section):
    """The supervised update on demonstrations of the hardest questions. `sft = "off"` is plain GRPO."""

    batch_size: int = Field(64, ge=1)
    """M: the update waits until the buffer holds this many demonstrations."""
    epochs: int = Field(1, ge=1)
    """Passes over the M demonstrations (1 in the paper)."""
    minibatch: int | None = Field(None, ge=1)
    """Demonstrations per optimizer step; all M when empty, as in the paper."""
    entropy_weight: float = Field(1e-4, ge=0)
    """Alpha of the paper; 0 is plain likelihood."""
    max_updates_per_iteration: int = Field(1, ge=1)
    """The paper's cap: a supervised update after every RL step collapsed."""
    own_correct: int = Field(0, ge=0)
    """The policy's own correct rollouts mixed into each minibatch. A departure from the paper, off by default."""
    own_correct_pool: int = Field(512, ge=1)
    """Solved questions, newest first, that own_correct draws from."""
    control_share: Share = 0.0
    """Share of questions, chosen by a hash of the id, that are never taught, to measure what teaching does."""
    optimizer: AdamConfig = AdamConfig()
    """AdamW of the supervised update."""

    @model_validator(mode="after")
    def _batch_can_fill(self) -> SftConfig:
        if self.control_share == 1:
            raise ValueError("sft.control_share=1 leaves no question to teach; use sft='off' for plain GRPO")
        if self.minibatch is not None and self.minibatch > self.batch_size:
            raise ValueError(f"sft.minibatch={self.minibatch} is larger than sft.batch_size={self.batch_size}")
        return self
