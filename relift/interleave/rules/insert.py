"""LUFFY's insertion (arXiv 2504.14945): a demonstration in its question's group."""

from __future__ import annotations

from collections.abc import Sequence

from relift.config import InsertRuleConfig
from relift.interleave.rule import Join, Moment, Rule


class InsertRule(Rule):
    """The demonstration is one more completion with reward 1; its tokens maximise p / (p + 0.1) * A, without a clip.

    Departures:

    1. By default of the hardest questions alone, and never of one whose rollouts are all right, where nothing would be
       taught; the source's is of every question.
    2. The demonstration joins the G rollouts, a group of G + 1; the source's takes the place of one of 8.
    3. The rollouts keep ``rl.loss`` with its clip, ``rl.aggregation`` and ``rl.scale``; the source's scripts take away
       the clip (loss_remove_clip), the mean over tokens (loss_remove_token_mean) and the standard deviation.
    """

    needs_demonstrations_first = True

    def __init__(self, config: InsertRuleConfig) -> None:
        self._on = config.on

    def requests(self, moment: Moment) -> Sequence[str]:
        asked = moment.hardest if self._on == "hardest" else moment.teachable
        return [question for question in asked if question in moment.joinable]

    def groups(self, moment: Moment) -> Sequence[Join]:
        return [Join(question) for question in self.requests(moment) if question in moment.waiting]
