"""As ReLIFT, but what is taught is drawn at random: the control that says what the gate is worth."""

from __future__ import annotations

from collections.abc import Sequence

from relift.interleave.rule import Moment
from relift.interleave.rules.relift import ReliftRule


class RandomRule(ReliftRule):
    """Asks for as many questions of the batch as the gate called hardest, whichever, solved ones too; none a control.

    A draw without replacement: the first by a key of (seed, iteration, question), in the order of the batch.
    """

    def requests(self, moment: Moment) -> Sequence[str]:
        from relift.randomness import key  # it needs numpy, and the rest of the package does not

        def turn(question: str) -> int:
            return key(moment.seed, moment.iteration, "random rule", question)

        drawn = set(sorted(moment.teachable, key=turn)[: len(moment.hardest)])
        return [question for question in moment.teachable if question in drawn]
