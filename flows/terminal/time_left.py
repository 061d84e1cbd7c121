"""How fast a run goes and how long it will still take, from what it reports."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relift.config import BudgetConfig
from relift.records import Spent
from relift.run.progress import read_metrics

WINDOW = 30
"""Iterations that the time left is estimated from; evaluations and checkpoints between them count as theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was recorded before this process, e.g. accuracies ``{0: 0.34, 1: 0.42}``."""

    accuracies: dict[int, float]
    taught: dict[int, int]

    @property
    def last(self) -> int:
        """The last recorded iteration; those up to it are replayed, not worked. -1 for a new run."""
        return max(self.accuracies, default=-1)


def read_past(metrics: Path) -> Past:
    """From ``metrics.jsonl``; empty where there is none."""
    trees = read_metrics(metrics)
    return Past(
        accuracies={tree["iteration"]: tree["accuracy"] for tree in trees},
        taught={tree["iteration"]: tree["taught"] for tree in trees},
    )


class Stopwatch:
    """A stopwatch over the iterations that this process works itself; not safe between threads."""

    def __init__(
        self,
        iterations: int | None,
        *,
        budget: BudgetConfig | None = None,
        recorded: int = -1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.iterations = iterations
        self.budget = budget or BudgetConfig()
        self.recorded = recorded
        self.share = 0.0
        """Of the run that is done, in [0, 1]."""
        self.tokens_per_second: float | None = None
        """Of the newest sampling; None before any."""
        self._clock = clock
        self._marks: deque[tuple[float, float]] = deque(maxlen=WINDOW + 1)
        """When iterations ended, and the share that was done; before them when the first one began."""
        self._sampling_since = 0.0
        self._sampled = 0
        self._evaluating_since: float | None = None
        self._full_evaluation: float | None = None

    def phase(self, name: str) -> None:
        now = self._clock()
        if self._evaluating_since is not None and self._full_evaluation is None:
            # The first one asks all questions, as does the one after the last iteration.
            self._full_evaluation = now - self._evaluating_since
        self._evaluating_since = now if name == "evaluate" else None
        if name in ("rollout", "probe", "trial", "evaluate"):
            self._sampling_since, self._sampled = now, 0
        if name == "rollout" and not self._marks:
            self._marks.append((now, self.share))

    def tokens(self, count: int) -> None:
        self._sampled += count
        self.tokens_per_second = self._sampled / max(1e-9, self._clock() - self._sampling_since)

    def iteration(self, number: int, spent: Spent) -> None:
        by_number = (number + 1) / self.iterations if self.iterations else 0.0
        self.share = max(by_number, self.budget.share(spent) or 0.0)
        if number <= self.recorded:
            self._marks.clear()  # replayed in no time: nothing to learn from
        else:
            self._marks.append((self._clock(), self.share))

    @property
    def seconds_left(self) -> float | None:
        """None until an iteration was worked."""
        if len(self._marks) < 2 or self.share <= self._marks[0][1]:
            return None
        (since, before), (last, _) = self._marks[0], self._marks[-1]
        left = (last - since) * (1 - self.share) / (self.share - before) + (self._full_evaluation or 0.0)
        return max(0.0, left - (self._clock() - last))


def as_clock(seconds: float) -> str:
    """``2:41``, or ``1:02:41`` from an hour on."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
