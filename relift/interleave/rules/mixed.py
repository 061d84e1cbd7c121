"""CHORD's mixture (arXiv 2508.11408): a supervised term beside the RL term, with a weight that falls."""

from __future__ import annotations

from collections.abc import Sequence

from relift.config import MixedRuleConfig
from relift.interleave.rule import Moment, Rule, Supervise


class MixedRule(Rule):
    """(1 - mu) of the RL term and mu of the supervised one: by default CHORD-mu, whose mu falls from 0.9 to 0.05 over
    tokens that weigh alike; CHORD-phi has mu 0.1 throughout and weighs them by p (1 - p).

    Departures:

    1. The supervised term is of the batch's own questions, by default its hardest; the source's is of a data set beside
       it, in batches of one size.
    2. mu falls linearly from the start, where the source's code warms it up and lets it fall by a cosine.
    3. The supervised term is a mean over the tokens of its own demonstrations: one of them in a step weighs as much as
       many. In the source they are always equally many.
    """

    needs_demonstrations_first = True

    def __init__(self, config: MixedRuleConfig) -> None:
        self._config = config

    def requests(self, moment: Moment) -> Sequence[str]:
        if not self._mu(moment):
            return ()
        return moment.hardest if self._config.on == "hardest" else moment.teachable

    def groups(self, moment: Moment) -> Sequence[Supervise]:
        mu, weights = self._mu(moment), self._config.token_weights
        return [Supervise(q, weight=mu, token_weights=weights) for q in self.requests(moment) if q in moment.waiting]

    def rl_weight(self, moment: Moment) -> float:
        return 1 - self._mu(moment)

    def _mu(self, moment: Moment) -> float:
        fallen = min(1.0, moment.progress / self._config.decay_share)
        return self._config.mu + (self._config.final_mu - self._config.mu) * fallen
