"""What the recorded groups of each question say: the band of its pass rate, its tokens, and whether it is retired."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relift.config import SamplingConfig
from relift.records import UNGRADED, Band, RolloutGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Of one question, e.g. newest ``((3, 8), (8, 8))``, solved 1, tokens 96, iteration 12."""

    newest: tuple[tuple[int, int], ...] = ()
    """(correct, graded) of its newest groups, oldest first."""
    solved: int = 0
    """Groups in a row, up to the newest, of which every graded rollout was correct."""
    tokens: int = 0
    """Sampled in its newest group, all rollouts together."""
    iteration: int = -1
    """In which it was asked last."""


class History:
    """Of all questions that were asked: a function of recorded verdicts, those of probes and prefixes aside."""

    def __init__(self, config: SamplingConfig) -> None:
        self._newest = config.pools.newest if config.pools else 1
        self._after = config.retire.after if config.retire else None
        self._seen: dict[str, Seen] = {}

    def add(self, groups: Iterable[RolloutGroup], iteration: int) -> None:
        """A group of which nothing could be graded says that it was asked, and no more (contract 7)."""
        for group in groups:
            before = self.of(group.question.id)
            graded = sum(rollout.verdict.status not in UNGRADED for rollout in group.rollouts)
            correct = sum(rollout.is_correct for rollout in group.rollouts)
            tokens = sum(len(rollout.completion.token_ids) for rollout in group.rollouts)
            found = dataclasses.replace(before, tokens=tokens, iteration=iteration)
            if graded:
                newest = (*before.newest, (correct, graded))[-self._newest :]
                found = dataclasses.replace(found, newest=newest, solved=before.solved + 1 if correct == graded else 0)
            self._seen[group.question.id] = found

    def of(self, question: str) -> Seen:
        return self._seen.get(question, Seen())

    def band(self, question: str) -> Band:
        """By the mean of the Beta posterior of its pass rate, which is uniform before any rollout."""
        newest = self.of(question).newest
        correct, graded = (sum(column) for column in zip(*newest, strict=True)) if newest else (0, 0)
        if not graded:
            return Band.UNSEEN
        if correct in (0, graded):
            return Band.ALWAYS if correct else Band.NEVER
        mean = (correct + 1) / (graded + 2)
        return Band.LOW if mean < 1 / 3 else Band.MID if mean <= 2 / 3 else Band.HIGH

    def tokens(self, questions: Sequence[str]) -> list[float]:
        """Of the newest group of each; their mean for what was not asked yet, and 1 before anything was."""
        found = [self.of(question).tokens for question in questions]
        known = [tokens for tokens in found if tokens] or [1]
        mean = statistics.fmean(known)
        return [tokens or mean for tokens in found]

    def is_retired(self, question: str) -> bool:
        return self._after is not None and self.of(question).solved >= self._after

    def to_json(self) -> dict[str, Any]:
        return {question: dataclasses.asdict(seen) for question, seen in self._seen.items()}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Become the history that the JSON was made of."""
        self._seen = {
            question: Seen(**{**seen, "newest": tuple((correct, graded) for correct, graded in seen["newest"])})
            for question, seen in tree.items()
        }
