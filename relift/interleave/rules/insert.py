"""LUFFY's insertion (arXiv 2504.14945): a demonstration in its question's group."""

from __future__ import annotations

from collections.abc import Sequence

from relift.config import InsertRuleConfig
from relift.interleave.rule import Join, Moment, Rule


class Insert(Rule):
    """The demonstration is one more completion with reward 1; its tokens maximise p / (p + 0.1) * A, without a clip."""

    needs_demonstrations_first = True

    def __init__(self, config: InsertRuleConfig) -> None:
        self._on = config.on

    def requests(self, moment: Moment) -> Sequence[str]:
        return moment.hardest if self._on == "hardest" else moment.teachable

    def groups(self, moment: Moment) -> Sequence[Join]:
        return [Join(question) for question in self.requests(moment) if question in moment.waiting]
