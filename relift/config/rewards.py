"""The rewards: what a completion is worth to the RL update."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from relift.config.plugin import BY_IMPORT, PluginConfig, by_kind
from relift.config.section import MAY_CHANGE, Section, Share


class CorrectConfig(Section):
    """1 for a correct verdict, 0 for another; none for what could not be graded."""

    kind: Literal["correct"] = "correct"
    """correct, or the import path of one's own, package.module:Name."""


class OwnRewardConfig(PluginConfig):
    """One's own function of a graded completion, which gives a number or named parts whose sum is the reward. It runs
    in processes of its own, bounded in time and memory; docs/your-own.md."""

    seconds: float = Field(8.0, ge=0.1, le=3600)
    """It is killed when it takes longer for one completion, which is then left out of statistics and loss."""
    memory_gb: float = Field(2.0, ge=0.25, le=1024)
    """Of address space in gibibytes, of each process: what asks for more gets a MemoryError."""
    workers: int | None = Field(None, ge=1, le=256, json_schema_extra=MAY_CHANGE)
    """Processes at most; one a core, and at most 8, when empty."""
    max_failed_share: Share = Field(0.1, json_schema_extra=MAY_CHANGE)
    """Share of an iteration's rewards that may fail (hang, raise, give no finite number) before the run stops."""


RewardConfig = Annotated[
    Annotated[CorrectConfig, Tag("correct")] | Annotated[OwnRewardConfig, Tag(BY_IMPORT)], by_kind("correct")
]
