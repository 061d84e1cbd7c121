"""Which questions an iteration asks: how many until enough teach, and which ones sooner than others."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from relift.config.section import Section, none_if_off
from relift.records import Band


class RefillConfig(Section):
    """Dynamic sampling (DAPO, arXiv 2503.14476): more questions are asked until a batch of groups has signal."""

    cap: int = Field(3, ge=2)
    """An iteration asks at most this many times questions.batch_size questions, and trains on what it found by then."""


class PoolsConfig(Section):
    """Questions are drawn by what their newest groups say of their pass rate, not in passes over a shuffle."""

    newest: int = Field(2, ge=1)
    """Groups of a question that its band is found from; older ones were another policy's."""
    unseen: float = Field(16.0, gt=0)
    """Weight of a question that was not asked yet. A question's chance to be drawn is as its weight."""
    never: float = Field(1.0, gt=0)
    """No rollout of these groups was correct."""
    low: float = Field(2.0, gt=0)
    """The posterior mean of the pass rate, from a uniform prior, is below a third."""
    mid: float = Field(2.0, gt=0)
    """It is between."""
    high: float = Field(2.0, gt=0)
    """It is above two thirds."""
    always: float = Field(0.2, gt=0)
    """Every rollout was correct."""

    per_token: bool = True
    """A weight is divided by the tokens of the question's newest group: of two that teach alike, the one that costs
    less comes sooner. Without it long ones take more of what is sampled."""

    def weight(self, band: Band) -> float:
        weight: float = getattr(self, band.value)
        return weight


class RetireConfig(Section):
    """What is solved again and again is asked no more, but for a few of them in each batch that show forgetting."""

    after: int = Field(3, ge=1)
    """Groups of a question in a row, every rollout correct, with which it retires. One that is not brings it back."""
    revisit_share: float = Field(0.1, ge=0, le=0.5)
    """Share of each batch, rounded up, that goes to retired questions, those first that were asked longest ago. With 0
    what is forgotten stays unseen."""


class SamplingConfig(Section):
    """Off as a whole, each batch is the next questions of a shuffle."""

    refill: RefillConfig | None = None
    """off, or a section: DAPO's dynamic sampling. Groups without signal, and those beyond the batch, leave the RL
    batch; gate, ledger and demonstrations see them all."""
    pools: PoolsConfig | None = None
    """off, or a section."""
    retire: RetireConfig | None = None
    """off, or a section."""

    @property
    def most_batches(self) -> int:
        """Times questions.batch_size questions that an iteration may ask."""
        return self.refill.cap if self.refill else 1

    @field_validator("refill", "pools", "retire", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)
