"""What the report tells, read from a run's folder; every part of it may be missing."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relift.config import BatchRuleConfig, QuestionsConfig, RunConfig
from relift.config.recipe import leaves, recorded_config
from relift.errors import ConfigError, StoreError
from relift.records import EvalResult, IterationReport
from relift.report.examples import Comparison, read_comparisons
from relift.run.progress import read_metrics
from relift.run.recorded import EvaluationRecord, iteration_of, phase_key, phase_of, read
from relift.store import FolderStore

log = logging.getLogger(__name__)

NOT_DEPARTURES = frozenset({"recipe", "seed", "store"})
"""Settings that say which run it is and where it lies, not what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Held-out results before an iteration, e.g. iteration 20 with 40 questions per family."""

    iteration: int
    is_full: bool
    """Asked all held-out questions, not the first few of each benchmark."""
    results: tuple[EvalResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A setting that is not the default, e.g. key ``"rollout.samples"``, value ``"16"``, default ``"8"``."""

    key: str
    value: str
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    iterations: tuple[IterationReport, ...]
    evaluations: tuple[Evaluation, ...]
    """In order of iteration."""
    departures: tuple[Departure, ...]
    demonstrations_per_update: int | None
    """M of the supervised update; None where it is off or not known."""
    comparisons: tuple[Comparison, ...]

    @property
    def phase_seconds(self) -> dict[str, float]:
        """Wall seconds by phase over all recorded iterations."""
        total: dict[str, float] = {}
        for report in self.iterations:
            for phase, seconds in report.seconds.items():
                total[phase] = total.get(phase, 0.0) + seconds
        return total


def read_report_data(root: Path) -> ReportData:
    """Raises StoreError when a file of the run is damaged."""
    config = _config(root / "run.json")
    evaluations = _evaluations(FolderStore(root))
    return ReportData(
        iterations=_iterations(root / "metrics.jsonl"),
        evaluations=evaluations,
        departures=tuple(_departures(config)) if config else (),
        demonstrations_per_update=_per_update(config) if config else None,
        comparisons=read_comparisons(root, [e.iteration for e in evaluations if e.is_full]),
    )


def _per_update(config: RunConfig) -> int | None:
    """Demonstrations of a supervised update, where the rule always takes as many."""
    rule = config.teach.rule
    return rule.batch_size if config.sft and isinstance(rule, BatchRuleConfig) else None


def short_name(benchmark: str) -> str:
    """As in the summary: an arithmetic family by its own name."""
    return benchmark.removeprefix("arithmetic/")


def _iterations(path: Path) -> tuple[IterationReport, ...]:
    """Whole lines alone: a crash may have cut the last one short."""
    trees = read_metrics(path)
    try:
        return tuple(_iteration(tree) for tree in trees)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StoreError(
            f"{path} holds a line that is no iteration of this version of relift ({problem}): the file was changed or "
            f"damaged. Restore it from a copy, or remove it to draw the report without it."
        ) from problem


def _iteration(tree: dict[str, Any]) -> IterationReport:
    seconds = {phase_of(phase): seconds for phase, seconds in tree["seconds"].items()}
    return IterationReport.of({**tree, "seconds": seconds})


def _evaluations(store: FolderStore) -> tuple[Evaluation, ...]:
    found = []
    for path in store.path("iterations").glob("*/evaluate/manifest.json"):
        iteration = iteration_of(path.parent.parent.name)
        if iteration is None:
            continue
        evaluated = read(store, phase_key(iteration, "evaluate"), EvaluationRecord)
        if evaluated.results:
            found.append(Evaluation(iteration=iteration, is_full=evaluated.full, results=evaluated.results))
    return tuple(sorted(found, key=lambda evaluation: evaluation.iteration))


def _config(path: Path) -> RunConfig | None:
    """None for a run without one, and for one that another version of relift wrote: its figures can be drawn still."""
    if not path.exists():
        return None
    try:
        return recorded_config(json.loads(path.read_text())["config"], origin=str(path))
    except (ConfigError, ValueError, KeyError, TypeError) as problem:
        log.warning("the report leaves the configuration out: %s", problem)
        return None


def _departures(config: RunConfig) -> list[Departure]:
    """A section that is off is one line of its own."""
    defaults = dict(leaves(RunConfig(questions=QuestionsConfig())))

    def default_of(key: str) -> str:
        return defaults.get(key, "on" if any(known.startswith(f"{key}.") for known in defaults) else "absent")

    return [
        Departure(key=key, value=value, default=default_of(key))
        for key, value in leaves(config)
        if key not in NOT_DEPARTURES and defaults.get(key) != value
    ]
