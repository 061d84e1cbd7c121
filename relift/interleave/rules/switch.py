"""HPT's switch (arXiv 2509.04419): a question's rollouts, or its demonstration in their place."""

from __future__ import annotations

from collections.abc import Sequence

from relift.config import SwitchRuleConfig
from relift.interleave.rule import Moment, Rule, Supervise
from relift.records import UNGRADED, Status

MAYBE_RIGHT = (Status.CORRECT, *UNGRADED)


class SwitchRule(Rule):
    """With s of G rollouts correct: s > gate: GRPO; else these leave the step and the demonstration enters it.

    A question without any correct rollout is switched where the gate calls it hardest, so our own failures and mere
    lack of tokens switch nothing; of one with some, what could not be graded counts as if it were right. One without a
    demonstration keeps its rollouts.

    Departures:

    1. Rollouts and demonstrations have a denominator each: the mean likelihood of what is switched stands with its
       weight beside the mean of the rollouts, so one demonstration in a step weighs as much as all rollouts together.
    """

    needs_demonstrations_first = True

    def __init__(self, config: SwitchRuleConfig) -> None:
        self._config = config

    def requests(self, moment: Moment) -> Sequence[str]:
        return self._switched(moment)

    def groups(self, moment: Moment) -> Sequence[Supervise]:
        asked = self._switched(moment)
        return [Supervise(q, weight=self._config.weight, drop=True) for q in asked if q in moment.waiting]

    def _switched(self, moment: Moment) -> list[str]:
        hardest = frozenset(moment.hardest)
        return [
            group.question.id
            for group in moment.groups
            if group.question.id in hardest
            or (not group.is_unsolved and sum(map(group.count, MAYBE_RIGHT)) <= self._config.gate)
        ]
