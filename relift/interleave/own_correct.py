"""The policy's own correct rollouts, which may be mixed into supervised minibatches (``sft.own_correct``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relift.records import FinishReason, RolloutGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCorrect:
    """A recorded rollout, e.g. iteration 7, sample 3, and the tokens to train on."""

    iteration: int
    question_id: str
    sample: int
    token_ids: tuple[int, ...]
    """Of the completion, end-of-sequence included, without the prompt."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> OwnCorrect:
        return cls(**{**data, "token_ids": tuple(data["token_ids"])})


class OwnCorrectPool:
    """One correct rollout of each of the ``capacity`` questions solved last."""

    def __init__(self, capacity: int, snapshot: Sequence[OwnCorrect] = ()) -> None:
        self._capacity = capacity
        self._entries: dict[str, OwnCorrect] = {}
        self.restore(snapshot)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> tuple[OwnCorrect, ...]:
        """Oldest first."""
        return tuple(self._entries.values())

    def add(self, groups: Iterable[RolloutGroup], iteration: int) -> None:
        """Take in each solved group's first correct rollout that ended by itself; an older one of it makes way."""
        for group in groups:
            solution = _first_solution(group, iteration)
            if solution is not None:
                self._entries.pop(solution.question_id, None)
                self._entries[solution.question_id] = solution
        for question_id in list(self._entries)[: max(0, len(self._entries) - self._capacity)]:
            del self._entries[question_id]

    def snapshot(self) -> tuple[OwnCorrect, ...]:
        return self.entries

    def restore(self, snapshot: Sequence[OwnCorrect]) -> None:
        """Become the pool that the snapshot was taken of."""
        self._entries = {entry.question_id: entry for entry in snapshot}


def _first_solution(group: RolloutGroup, iteration: int) -> OwnCorrect | None:
    for rollout in group.rollouts:
        # Cut completions hold no end-of-sequence, and teaching them would teach not to stop.
        if rollout.is_correct and rollout.completion.finish_reason is FinishReason.STOP:
            return OwnCorrect(
                iteration=iteration,
                question_id=group.question.id,
                sample=rollout.sample,
                token_ids=rollout.completion.token_ids,
            )
    return None
