"""The policy losses, each with its own settings, and the parts that can be put upon any of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, field_validator, model_validator

from relift.config.plugin import BY_IMPORT, PluginConfig, by_kind
from relift.config.section import Section, none_if_off

Level = Literal["token", "sequence"]
Aggregation = Literal["token-mean", "seq-mean", "constant"]
KlEstimator = Literal["k1", "k2", "k3"]
TokenWeights = Literal["none", "p(1-p)", "high-entropy"]


class ClipConfig(Section):
    """The clipped surrogate of PPO with the two bounds of DAPO and the dual clip."""

    low: float = Field(0.2, ge=0, le=1)
    """The ratio is clipped below at 1 - low; 1 is no lower bound."""
    high: float = Field(0.28, ge=0)
    """The ratio is clipped above at 1 + high."""
    dual: float | None = Field(3.0, gt=1)
    """Where the advantage is negative the surrogate is at least dual * advantage; off: no dual clip."""

    @field_validator("dual", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)


class GspoClipConfig(ClipConfig):
    """The same of a completion's ratio, which moves far less than a token's. Defaults: GSPO's."""

    low: float = Field(3e-4, ge=0, le=1)
    """The ratio is clipped below at 1 - low; 1 is no lower bound."""
    high: float = Field(4e-4, ge=0)
    """The ratio is clipped above at 1 + high."""
    dual: float | None = Field(None, gt=1)
    """Where the advantage is negative the surrogate is at least dual * advantage; off: no dual clip."""


class CispoClipConfig(Section):
    """The bounds of a token's weight in CISPO."""

    low: float = Field(1.0, ge=0, le=1)
    """The ratio is clipped below at 1 - low; 1 is no lower bound."""
    high: float = Field(4.0, ge=0)
    """The ratio is clipped above at 1 + high."""


class PpoConfig(Section):
    """Each token's ratio of new to old probability times its advantage, clipped (PPO, as in GRPO and DAPO)."""

    kind: Literal["ppo"] = "ppo"
    """ppo, gspo, cispo, or the import path of one's own, package.module:Name."""
    clip: ClipConfig | None = ClipConfig()
    """off: no clipping (paper-v1)."""

    @field_validator("clip", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)


class GspoConfig(Section):
    """As ppo with one ratio for all tokens of a completion, their geometric mean (GSPO, arXiv 2507.18071)."""

    kind: Literal["gspo"] = "gspo"
    """ppo, gspo, cispo, or the import path of one's own, package.module:Name."""
    clip: GspoClipConfig | None = GspoClipConfig()
    """off: no clipping."""

    @field_validator("clip", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)


class CispoConfig(Section):
    """Log-probability times advantage times the clipped ratio, the latter as a constant, so that every token keeps a
    gradient (CISPO, arXiv 2506.13585)."""

    kind: Literal["cispo"] = "cispo"
    """ppo, gspo, cispo, or the import path of one's own, package.module:Name."""
    clip: CispoClipConfig = CispoClipConfig()
    """Without bounds it would be ppo without them."""


Loss = Annotated[
    Annotated[PpoConfig, Tag("ppo")]
    | Annotated[GspoConfig, Tag("gspo")]
    | Annotated[CispoConfig, Tag("cispo")]
    | Annotated[PluginConfig, Tag(BY_IMPORT)],
    by_kind("ppo", "gspo", "cispo"),
]


class KlConfig(Section):
    """A penalty per token on the distance to the start model, which is kept as a reference."""

    weight: float = Field(0.04)
    """Factor of the penalty in the loss, above 0; 0.04 is GRPO's (arXiv 2402.03300)."""
    estimator: KlEstimator = "k3"
    """With d = l - l_reference in nats: k1 is d, k2 is d^2 / 2, k3 is exp(-d) - 1 + d."""

    @field_validator("weight")
    @classmethod
    def _does_something(cls, value: float) -> float:
        if not value > 0:
            raise ValueError(
                f"a KL weight of {value:g} would keep and run a reference model for nothing: set rl.kl='off', or a "
                f"weight above 0"
            )
        return value


class CorrectionConfig(Section):
    """Importance weights for the gap between engine and trainer: w = exp(l_old - l_sampler), a constant factor."""

    level: Level = "token"
    """token: each token its own w; sequence: one w, that of the whole completion (the product of its tokens')."""
    mode: Literal["truncate", "mask"] = "truncate"
    """truncate: min(w, high); mask: w where it lies within the bounds, else 0."""
    high: float = Field(2.0)
    """Upper bound of w, at least 1."""
    low: float | None = Field(None, gt=0, le=1)
    """mask: lower bound of w; none when empty. IcePop masks tokens outside 0.5 and 5."""

    @field_validator("high")
    @classmethod
    def _agreement_is_within(cls, value: float) -> float:
        if not value >= 1:
            raise ValueError(
                f"the bound {value:g} is below 1, so tokens on which engine and trainer agree (w = 1) would be cut "
                f"too: set it to 1 or more (2 is customary)"
            )
        return value

    @model_validator(mode="after")
    def _low_is_used(self) -> CorrectionConfig:
        if self.low is not None and self.mode == "truncate":
            raise ValueError("low would be ignored by mode='truncate', which bounds w above: remove it, or mode='mask'")
        return self


class OverlongConfig(Section):
    """A soft penalty on nearly overlong completions (DAPO), in the reward that advantages are computed of, alone."""

    buffer: int = Field(ge=1)
    """The penalty grows over this many tokens before rollout.max_tokens, from 0 to its full size."""
    penalty: float = Field(1.0, gt=0)
    """Taken off the reward of a completion of rollout.max_tokens. DAPO's 1, for rewards -1 and 1, is 0.5."""
