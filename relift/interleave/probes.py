"""Which questions are sampled again to see what teaching did, and when.

A taught question is anchored at the iteration of the first supervised update that trained on it. A control question,
hard and never taught, is anchored at the first supervised update since a teacher solved it: the one that would have
taught it, were there no queue. Both are due at the same distances from there, so what differs between them is the
teaching.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

from relift.config import ProbeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSnapshot:
    """The schedule at rest."""

    taught: Mapping[str, int] = field(default_factory=dict)
    """Anchor by question id, as an iteration."""
    control: Mapping[str, int] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    """Controls since the last supervised update."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeSnapshot:
        return cls(taught=dict(data["taught"]), control=dict(data["control"]), waiting=tuple(data["waiting"]))


class ProbeSchedule:
    """A function of the recorded phases: a resumed run rebuilds it by the same calls."""

    def __init__(self, config: ProbeConfig | None) -> None:
        self._config = config
        self.restore(ProbeSnapshot())

    def withheld(self, controls: Iterable[str]) -> None:
        """A teacher solved these control questions, which the gate has called hardest."""
        self._waiting.update(dict.fromkeys(q for q in controls if q not in self._control))

    def is_wanted(self, control: str) -> bool:
        """Whether a teacher's solution of that control question would have it followed, as it is not yet."""
        return self._config is not None and control not in self._control and control not in self._waiting

    def taught(self, questions: Iterable[str], iteration: int) -> None:
        """A supervised update of the iteration trained on these questions; a question taught again keeps its anchor."""
        for question in questions:
            self._taught.setdefault(question, iteration)
        for question in self._waiting:
            self._control.setdefault(question, iteration)
        self._waiting.clear()

    def due(self, iteration: int) -> tuple[str, ...]:
        """Ids of the questions to sample under the policy that the iteration starts with; no more than its config says.

        Where more are due, distances and both kinds take turns, each in the order of a hash of the id, so that the same
        questions are followed from one distance to the next.
        """
        if self._config is None:
            return ()
        queues = [
            _due(anchors, iteration - distance)
            for distance in reversed(self._config.after)
            for anchors in (self._control, self._taught)
        ]
        in_turn = (question for question in chain(*zip_longest(*queues)) if question is not None)
        return tuple(in_turn)[: self._config.questions]

    def snapshot(self) -> ProbeSnapshot:
        return ProbeSnapshot(taught=dict(self._taught), control=dict(self._control), waiting=tuple(self._waiting))

    def restore(self, snapshot: ProbeSnapshot) -> None:
        """Become the schedule that the snapshot was taken of."""
        self._taught: dict[str, int] = dict(snapshot.taught)
        self._control: dict[str, int] = dict(snapshot.control)
        self._waiting: dict[str, None] = dict.fromkeys(snapshot.waiting)


def _due(anchors: Mapping[str, int], anchor: int) -> list[str]:
    return sorted((question for question, at in anchors.items() if at == anchor), key=_turn)


def _turn(question: str) -> bytes:
    return hashlib.sha256(f"probe\0{question}".encode("utf-8", "surrogatepass")).digest()
