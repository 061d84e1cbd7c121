"""What an RL update makes of the groups of its batch, by the rule's answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from relift.interleave.rule import Distil, Drop, Fate, Join, Supervise


@dataclass(frozen=True, slots=True, kw_only=True)
class Fates:
    """As question ids, e.g. dropped ``("9f86d081884c7d65",)``; without any answer every group is kept as it is."""

    dropped: tuple[str, ...] = ()
    """Their groups leave the RL batch."""
    joined: tuple[str, ...] = ()
    """Their demonstrations enter their groups."""
    supervised: tuple[Supervise, ...] = ()
    """Their demonstrations enter the optimizer step of their groups."""
    distilled: tuple[Distil, ...] = ()
    """Their rollouts enter it once more, to be drawn towards the start model."""
    rl_weight: float = 1.0

    @classmethod
    def of(cls, answers: Iterable[Fate], rl_weight: float) -> Self:
        found = tuple(answers)
        supervised = tuple(answer for answer in found if isinstance(answer, Supervise))
        replaced = {answer.question_id for answer in supervised if answer.drop}
        return cls(
            dropped=tuple(a.question_id for a in found if isinstance(a, Drop) or a.question_id in replaced),
            joined=tuple(answer.question_id for answer in found if isinstance(answer, Join)),
            supervised=supervised,
            distilled=tuple(answer for answer in found if isinstance(answer, Distil)),
            rl_weight=rl_weight,
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """Whose demonstrations the update trains on."""
        return (*self.joined, *(answer.question_id for answer in self.supervised))

    @property
    def taught(self) -> tuple[str, ...]:
        """Whose it trains on, or has in view."""
        return (*self.targets, *(answer.question_id for answer in self.distilled))


ALL_KEPT = Fates()
