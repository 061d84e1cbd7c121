"""The two updates: losses, learning rates, optimizers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from relift.config.losses import (
    Aggregation,
    CorrectionConfig,
    KlConfig,
    Loss,
    OverlongConfig,
    PpoConfig,
    TokenWeights,
)
from relift.config.rewards import CorrectConfig, RewardConfig
from relift.config.section import Section, Share, none_if_off

_MOVED_TO_LOSS = {
    "clip": "write it as rl.loss.clip, with the same keys (--set rl.loss.clip=off)",
    "ratio": 'write rl.loss.kind = "gspo" for ratio = "sequence", and leave it out for "token"',
    "surrogate": 'write it as rl.loss.kind, "ppo" or "cispo"',
}
_MOVED_TO_TEACH = {
    "batch_size": "teach.rule.batch_size",
    "max_updates_per_iteration": "teach.rule.max_updates_per_iteration",
    "control_share": "teach.control_share",
}


class ScheduleConfig(Section):
    """Factor on a learning rate over the iterations of a run: linear warm-up, hold, linear decay.

    Over those that the run begins with: one that is made longer on resume keeps it, and goes on at its last factor.
    With a budget of rollouts or update_flops hold and decay go by the share of it that is used.
    """

    warmup_iterations: int = Field(0, ge=0)
    """The factor climbs to 1 over this many iterations."""
    hold_share: Share = 1.0
    """Share of all iterations, or of the budget, after which the decay starts."""
    final_share: Share = 1.0
    """The factor that the decay ends at; 1 is constant."""


class AdamConfig(Section):
    """AdamW."""

    lr: float = Field(1e-6, gt=0)
    """Learning rate before the schedule."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Of the learning rate, by iteration: no update, RL or supervised, moves it."""
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
    skip_spike: float | None = Field(None, gt=1)
    """An optimizer step whose gradient norm is above this many times the median norm of the last 32 steps taken is
    skipped and counted; no such rule when empty."""


class WarmStartConfig(Section):
    """Fine-tuning on demonstrations before the first iteration; what it ends with is the start model of all that
    follows."""

    demonstrations: Annotated[int, Field(ge=0)] | Literal["all"] = "all"
    """So many, of questions drawn by the seed among those with an admitted demonstration that are no controls; or
    all. With 0 the iterations begin with the base."""
    epochs: int = Field(1, ge=1)
    """Passes over them, each in an order of its own, recorded as one update."""
    minibatch: int = Field(64, ge=1)
    """Demonstrations per optimizer step."""
    optimizer: AdamConfig = AdamConfig()
    """AdamW of its own, whose schedule goes by epochs; the optimizers of the run are fresh after it."""

    @property
    def updates(self) -> int:
        """One an epoch; none where nothing is taught."""
        return self.epochs if self.demonstrations != 0 else 0

    @model_validator(mode="after")
    def _every_epoch_trains(self) -> WarmStartConfig:
        schedule, last = self.optimizer.schedule, self.epochs - 1
        if not schedule.final_share and last >= max(schedule.hold_share * self.epochs, schedule.warmup_iterations):
            raise ValueError(
                f"optimizer.schedule, which counts epochs here, comes to a rate of 0 in the last of {self.epochs}, "
                f"which would teach nothing: raise its final_share"
            )
        return self


class RlConfig(Section):
    """The GRPO update."""

    questions_per_update: int = Field(64, ge=1)
    """Groups per optimizer step; a batch of 128 makes two steps."""
    scale: Literal["none", "std"] = "none"
    """Advantages: distance to the group's mean, or that divided by the group's standard deviation."""
    aggregation: Aggregation = "token-mean"
    """How token losses become one number; constant divides by sequences * rollout.max_tokens."""
    loss: Loss = PpoConfig()
    """What each token is to maximise: ppo, gspo, cispo or one's own, each with its own settings."""
    reward: RewardConfig = CorrectConfig()
    """What a completion is worth: correct, or one's own. What counts as hardest never depends on it."""
    kl: KlConfig | None = None
    """Penalty on the distance to the start model; off: none, and no reference model is kept."""
    correction: CorrectionConfig | None = None
    """Weights for the gap between engine and trainer; off: the gap is only measured."""
    entropy_weight: float = Field(0.0, ge=0)
    """Weight of the entropy bonus; 0 allows groups without signal to be skipped."""
    truncated: Literal["zero", "mask"] = "zero"
    """A completion that ran out of tokens: reward 0 as in the paper (or what a reward of one's own gives), or left out
    of statistics and loss."""
    overlong: OverlongConfig | None = None
    """Soft penalty on nearly overlong completions; off: none. What counts as hardest never depends on it."""
    optimizer: AdamConfig = AdamConfig()
    """AdamW of the RL update."""

    @field_validator("kl", "correction", "overlong", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)

    @field_validator("loss", "reward", mode="before")
    @classmethod
    def _by_its_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _loss_has_moved(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and (old := sorted(_MOVED_TO_LOSS.keys() & tree.keys())):
            raise ValueError("; ".join(f"rl.{key} has moved: {_MOVED_TO_LOSS[key]}" for key in old))
        return tree


class SftConfig(Section):
    """The supervised update on demonstrations of the hardest questions. `sft = "off"` with the rule relift is plain
    GRPO."""

    epochs: int = Field(1, ge=1)
    """Passes over the demonstrations of the update (1 in the paper)."""
    minibatch: int | None = Field(None, ge=1)
    """Demonstrations per optimizer step; all of the update when empty, as in the paper."""
    entropy_weight: float = Field(1e-4, ge=0)
    """Alpha of the paper; 0 is plain likelihood."""
    token_weights: TokenWeights = "none"
    """Weight of a token's likelihood: none is 1; p(1-p) by its probability p (CHORD); high-entropy is 1 where the
    policy's entropy is at least sft.entropy_threshold, else 0."""
    entropy_threshold: float | None = Field(None, gt=0)
    """high-entropy: in nats. 0.672 is where the top fifth of Qwen3-8B's tokens begins (arXiv 2506.01939)."""
    own_correct: int = Field(0, ge=0)
    """The policy's own correct rollouts mixed into each minibatch, those of controls too, which are no demonstrations.
    A departure from the paper, off by default."""
    own_correct_pool: int = Field(512, ge=1)
    """Solved questions, newest first, that own_correct draws from."""
    rehearse: int = Field(0, ge=0)
    """Demonstrations of earlier supervised updates that each one trains on again, drawn at random: what is hard to
    learn is not learned in one update, and each is bought but once. A departure from the paper, off by default."""
    rehearse_pool: int = Field(1024, ge=1)
    """Demonstrations, taught last, that rehearse draws from."""
    optimizer: AdamConfig = AdamConfig()
    """AdamW of the supervised update."""

    @model_validator(mode="before")
    @classmethod
    def _rule_has_moved(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and (old := sorted(_MOVED_TO_TEACH.keys() & tree.keys())):
            raise ValueError("; ".join(f"sft.{key} has moved: write it as {_MOVED_TO_TEACH[key]}" for key in old))
        return tree

    @model_validator(mode="after")
    def _token_weights_are_whole(self) -> SftConfig:
        if (self.token_weights == "high-entropy") is not (self.entropy_threshold is not None):
            raise ValueError(
                f"token_weights='{self.token_weights}' with entropy_threshold={self.entropy_threshold}: the threshold "
                f"belongs to token_weights='high-entropy' and to nothing else; set both (0.672 nats) or neither"
            )
        if self.token_weights == "p(1-p)" and self.entropy_weight:
            raise ValueError(
                f"token_weights='p(1-p)' with entropy_weight={self.entropy_weight:g}: the weights already spare what "
                f"the policy is sure of, and the bonus, on every token, would outweigh them; set sft.entropy_weight=0"
            )
        return self
