"""The whole study out of the runs that have ended: lines, means and pairs with their intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from relift.study.intervals import Interval, Measured, holm, interval_of
from relift.study.results import MethodMean, PairResult, RunResult, StudyResult, StudyRun
from relift.study.study import Study, pair_name

Results = Mapping[tuple[str, int], RunResult]
"""By method and seed."""


def study_result(study: Study, results: Results, *, command: str, versions: Mapping[str, str]) -> StudyResult:
    """Pairs and means are over the seeds that have ended, versions those of their runs, or ``versions`` without any."""
    by_method = {
        name: {seed: results[name, seed] for seed in study.seeds if (name, seed) in results} for name in study.methods
    }
    machines = dict.fromkeys(run.machine for run in results.values())
    return StudyResult(
        study=study.name,
        title=study.title,
        date=max((run.date for run in results.values()), default=datetime.now(UTC).isoformat(timespec="seconds")),
        command=command,
        versions={name: _versions(name, results) or now for name, now in versions.items()},
        machines=tuple(machines),
        recipe=study.recipe,
        seeds=study.seeds,
        questions=max((len(_measured(run)) for run in results.values()), default=0),
        budget={measure: str(amount) for measure, amount in study.budget.items()},
        methods={name: {str(seed): StudyRun.of(run) for seed, run in runs.items()} for name, runs in by_method.items()},
        means={name: _mean(runs) for name, runs in by_method.items() if runs},
        references=tuple(name for name, method in study.methods.items() if method.reference),
        planned={pair_name(*pair): study.expected.get(pair_name(*pair)) for pair in study.planned},
        pairs=_pairs(study, by_method),
        missing=tuple(f"{m.name}-{seed}" for m, seed in study.runs() if (m.name, seed) not in results),
    )


def _versions(name: str, results: Results) -> str:
    return ", ".join(dict.fromkeys(run.versions[name] for run in results.values() if name in run.versions))


def _mean(runs: Mapping[int, RunResult]) -> MethodMean:
    found = interval_of({seed: _measured(run) for seed, run in runs.items()})
    return MethodMean(mean=found.mean, low=max(0.0, found.low), high=min(1.0, found.high), over=found.over)


def _pairs(study: Study, by_method: Mapping[str, Mapping[int, RunResult]]) -> dict[str, PairResult]:
    pairs: dict[str, PairResult] = {}
    for first, second in [*study.planned, *_exploratory(study)]:
        seeds = [seed for seed in study.seeds if seed in by_method[first] and seed in by_method[second]]
        if seeds:
            differences = {seed: _difference(by_method[first][seed], by_method[second][seed]) for seed in seeds}
            pair = _pair(first, second, differences, planned=(first, second) in study.planned)
            pairs[pair_name(first, second)] = dataclasses.replace(
                pair, expected=study.expected.get(pair_name(first, second))
            )
    exploratory = [name for name, pair in pairs.items() if not pair.planned]
    for name, adjusted in zip(exploratory, holm([pairs[name].p for name in exploratory]), strict=True):
        pairs[name] = dataclasses.replace(pairs[name], p_adjusted=adjusted)
    return pairs


def _exploratory(study: Study) -> list[tuple[str, str]]:
    """Every method against those of ``against``, less what was planned; rows that are to be looked at are in none."""
    compared = [name for name, method in study.methods.items() if not method.reference]
    pairs: list[tuple[str, str]] = []
    known = {frozenset(pair) for pair in study.planned}
    for number, base in enumerate(study.against):
        for name in compared:
            pair = (base, name) if number == 0 else (name, base)
            if name != base and frozenset(pair) not in known:
                known.add(frozenset(pair))
                pairs.append(pair)
    return pairs


def _difference(first: RunResult, second: RunResult) -> list[Measured]:
    """By question; both were asked the same ones."""
    return [
        dataclasses.replace(one, value=one.value - other.value)
        for one, other in zip(_measured(first), _measured(second), strict=True)
    ]


def _measured(run: RunResult) -> list[Measured]:
    return [
        Measured(question=f"{found.asked}/{position}", benchmark=benchmark, value=right / found.samples)
        for benchmark, found in sorted(run.questions.items())
        if benchmark in run.measured or not run.measured
        for position, right in enumerate(found.after)
    ]


def _pair(first: str, second: str, by_seed: Mapping[int, Sequence[Measured]], *, planned: bool) -> PairResult:
    found: Interval = interval_of(by_seed)
    return PairResult(
        first=first,
        second=second,
        mean=found.mean,
        low=max(-1.0, found.low),
        high=min(1.0, found.high),
        p=found.p,
        p_adjusted=found.p,
        planned=planned,
        over=found.over,
        by_seed={str(seed): interval_of({seed: measured}).mean for seed, measured in by_seed.items()},
    )
