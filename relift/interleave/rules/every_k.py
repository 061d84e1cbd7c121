"""A supervised update every k iterations, whether many demonstrations wait or few."""

from __future__ import annotations

from collections.abc import Sequence

from relift.config import EveryKRuleConfig
from relift.interleave.rule import Moment, Rule


class EveryKRule(Rule):
    """The newest of the hard questions that wait; older ones that were never among them stay in the buffer."""

    def __init__(self, config: EveryKRuleConfig) -> None:
        self._config = config

    def requests(self, moment: Moment) -> Sequence[str]:
        return moment.hardest

    def batches(self, moment: Moment) -> Sequence[Sequence[str]]:
        if (moment.iteration + 1) % self._config.every:
            return ()
        newest = moment.affordable(list(moment.waiting)[::-1])[: self._config.batch_size]
        return [newest[::-1]] if newest else ()
