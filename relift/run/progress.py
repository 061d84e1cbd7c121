"""What a run tells while it works: metrics.jsonl always, and whoever looks on besides."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from relift.errors import StoreError
from relift.records import EvalResult, IterationReport, RolloutGroup, Verdict

log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
_FIELDS = {f.name for f in fields(IterationReport) if f.default is MISSING and f.default_factory is MISSING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One completion to look at, e.g. question ``"47*6?"``, text ``"40*6+7*6=240+42=282"``, a correct verdict."""

    question: str
    gold: str
    text: str
    verdict: Verdict


class View(Protocol):
    """Something that shows a run to a person."""

    def phase(self, name: str) -> None: ...

    def tokens(self, count: int) -> None: ...

    def iteration(self, report: IterationReport, examples: Sequence[Example]) -> None: ...

    def evaluated(self, iteration: int, results: Sequence[EvalResult]) -> None: ...

    def note(self, text: str) -> None: ...


class PhaseClock:
    """Wall seconds by phase, and of all phases together without counting twice what ran side by side."""

    def __init__(self) -> None:
        self.by_phase: dict[str, float] = {}
        self._active = 0
        self._since = 0.0
        self._busy = 0.0

    @property
    def busy_seconds(self) -> float:
        return self._busy

    def begin(self) -> float:
        now = time.perf_counter()
        if self._active == 0:
            self._since = now
        self._active += 1
        return now

    def end(self, phase: str, began: float) -> None:
        now = time.perf_counter()
        self.by_phase[phase] = self.by_phase.get(phase, 0.0) + now - began
        self._active -= 1
        if self._active == 0:
            self._busy += now - self._since

    def take(self) -> dict[str, float]:
        """Seconds by phase since the last call."""
        taken, self.by_phase = self.by_phase, {}
        return taken


class Progress:
    """Fans out to views, and keeps ``metrics.jsonl``: one line per iteration, never one twice."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.clock = PhaseClock()
        self.prefect_start_seconds = 0.0
        """Until our own Prefect server answered; set by whoever started it."""

    def phase(self, name: str) -> None:
        for view in self.views:
            view.phase(name)

    def tokens(self, count: int) -> None:
        for view in self.views:
            view.tokens(count)

    def iteration(self, path: Path, report: IterationReport, examples: Sequence[Example]) -> None:
        if report.iteration > last_iteration(path):
            with path.open("a") as file:
                file.write(json.dumps(asdict(report)) + "\n")
        for view in self.views:
            view.iteration(report, examples)

    def evaluated(self, iteration: int, results: Sequence[EvalResult]) -> None:
        for view in self.views:
            view.evaluated(iteration, results)

    def note(self, text: str) -> None:
        """Something to know that stops nothing, e.g. a teacher that is down: to the log and to every view."""
        log.warning(text)
        for view in self.views:
            view.note(text)


def last_iteration(path: Path) -> int:
    """Of the last whole line of a metrics file; -1 without one. A line that a crash cut short is removed.

    Raises StoreError where it is something else.
    """
    if not path.exists():
        return -1
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    lines = metrics_lines(path)
    return int(_parsed(path, *lines[-1])["iteration"]) if lines else -1


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every iteration of a metrics file, with all fields of IterationReport; a last line cut short is left out.

    Raises StoreError naming a line that is something else.
    """
    return [_parsed(path, number, line) for number, line in metrics_lines(path)]


def metrics_lines(path: Path) -> list[tuple[int, bytes]]:
    """(number, line) of the whole lines of a metrics file, unread; none where there is no file."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [(number, line) for number, line in enumerate(whole.splitlines(), start=1) if line.strip()]


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(line)
        if not isinstance(tree, dict) or not isinstance(tree["iteration"], int):
            raise TypeError("it is no object that names an iteration")
        if missing := sorted(_FIELDS - tree.keys()):
            raise KeyError(missing[0])
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise StoreError(
            f"{path} line {number} is no iteration of this version of relift ({problem}): the file was changed or "
            f"damaged. Remove that line, or restore the file from a copy; the ledger holds what iterations reported."
        ) from problem
    return tree


def pick_examples(groups: Sequence[RolloutGroup]) -> list[Example]:
    """Two completions: the first wrong one of a group without a correct one, and the first correct one."""
    unsolved = next((g.rollouts[0] for g in groups if g.is_unsolved), None)
    solved = next((r for g in groups for r in g.rollouts if r.is_correct), None)
    by_rollout = {id(r): g.question for g in groups for r in g.rollouts}
    return [
        Example(
            question=by_rollout[id(rollout)].text,
            gold=by_rollout[id(rollout)].answer,
            text=rollout.completion.text,
            verdict=rollout.verdict,
        )
        for rollout in (unsolved, solved)
        if rollout is not None
    ]
