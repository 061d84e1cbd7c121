"""ReLIFT's own rule (arXiv 2506.07527): demonstrations of the hardest wait, and are taught M at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from relift.config import BatchRuleConfig
from relift.interleave.rule import Moment, Partial, Rule

Answer = TypeVar("Answer", str, Partial)


class ReliftRule(Rule):
    """One supervised update for each M waiting demonstrations, at most ``max_updates_per_iteration``.

    The cap is part of the method: a supervised update after every RL update collapsed (paper, ablation).
    """

    def __init__(self, config: BatchRuleConfig) -> None:
        self._config = config

    def requests(self, moment: Moment) -> Sequence[str]:
        return moment.hardest

    def batches(self, moment: Moment) -> Sequence[Sequence[str]]:
        """The oldest first."""
        return full_batches(moment.affordable(moment.waiting), self._config)


def full_batches(ready: Sequence[Answer], config: BatchRuleConfig) -> list[Sequence[Answer]]:
    """M each, at most ``max_updates_per_iteration`` of them; the others wait."""
    size = config.batch_size
    count = min(len(ready) // size, config.max_updates_per_iteration)
    return [ready[number * size : (number + 1) * size] for number in range(count)]
