"""ReLIFT's own rule (arXiv 2506.07527): demonstrations of the hardest wait, and are taught M at a time."""

from __future__ import annotations

from collections.abc import Sequence

from relift.config import BatchRuleConfig
from relift.interleave.rule import Moment, Rule


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
        ids, size = list(moment.waiting), self._config.batch_size
        count = min(len(ids) // size, self._config.max_updates_per_iteration)
        return [ids[i * size : (i + 1) * size] for i in range(count)]
