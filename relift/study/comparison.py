"""A study while it is worked on: what stands already, what is to be run next, and what is written when a run ends."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from relift.config import RunConfig
from relift.errors import ConfigError, DataError, StoreError
from relift.run.identity import remove_run
from relift.store import Store
from relift.study.collect import Title, collect
from relift.study.files import run_file, study_file
from relift.study.planned import PlannedRun
from relift.study.results import RunResult, StudyResult
from relift.study.settings import changed, departures
from relift.study.study import Study, pair_name
from relift.study.whole import study_result

MADE_FROM = ("questions", "base weights", "chat template")
"""What is the same wherever the same settings of questions and policy are."""


@dataclass(slots=True, kw_only=True)
class Comparison:
    """One writer of a study's results."""

    study: Study
    folder: Path
    """Of the results: docs/studies."""
    command: str
    keep: bool
    """Whether folders of runs stay once their result is written."""
    results: dict[tuple[str, int], RunResult] = field(default_factory=dict)
    waiting: list[PlannedRun] = field(default_factory=list)
    """In the order in which they are begun, those that can be."""

    def next_run(self) -> PlannedRun | None:
        """The first whose budget does not wait for another run; None where all do, or none is left."""
        for run in self.waiting:
            if all((of, run.seed) in self.results for of in run.method.waits_for):
                self.waiting.remove(run)
                return run
        return None

    def config(self, run: PlannedRun) -> RunConfig:
        """With what the runs that it waited for came to, as ``settings`` has it."""
        return self.study.config(run.method, run.seed, self._waited(run))

    def settings(self, run: PlannedRun) -> list[str]:
        return self.study.settings_of(run.method, run.seed, self._waited(run))

    def _waited(self, run: PlannedRun) -> dict[str, RunResult]:
        return {of: self.results[of, run.seed] for of in run.method.waits_for}

    def run_name(self, run: PlannedRun) -> str:
        return f"{self.study.name}-{run}" + ("-again" if run.again else "")

    def finish(self, run: PlannedRun, store: Store) -> RunResult:
        """Write what the run came to and the study with it; of one that was done again, nothing.

        Its folder is removed, unless it is to be kept.
        """
        title = Title(
            study=self.study.name,
            method=run.method.name,
            seed=run.seed,
            reference=run.method.reference,
            command=f"{self.command} --only {run.method.name}:{run.seed}",
            measured=self.study.measured,
        )
        result = collect(store, title)
        if not run.again:
            require_made_alike({**self.results, run.key: result})
            result.write(run_file(self.folder, self.study.name, *run.key))
            self.results[run.key] = result
            self.write()
        if not self.keep:
            remove_run(store)
        return result

    def write(self) -> StudyResult:
        """The study's file, of the runs that have ended."""
        whole = study_result(self.study, self.results, command=self.command, versions=versions())
        whole.write(study_file(self.folder, self.study.name))
        return whole

    def publish(self) -> StudyResult:
        """The study's file, and its page beside the results of its runs."""
        from relift.study.page import write_page  # draws figures

        whole = self.write()
        write_page(whole, list(self.results.values()), self.folder / self.study.name)
        return whole


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("relift", "torch", "transformers")}
    return {"python": platform.python_version(), **packages}


def open_comparison(
    study: Study, folder: Path, *, command: str, keep: bool, order: str, only: tuple[str, int] | None
) -> Comparison:
    """Everything that can be refused is refused here, before any run begins. Raises a UserError."""
    _require_writable(folder, study.name)
    results = standing(study, folder)
    require_unchanged(study, results, folder)
    require_made_alike(results)
    waiting = _waiting(study, results, order, only)
    if waiting:
        from relift.study.check import require_runnable  # with the models' tokenizers it loads torch

        require_runnable(study, results, waiting)
    return Comparison(
        study=study, folder=folder, command=command, keep=keep or study.keep, results=results, waiting=waiting
    )


def _require_writable(folder: Path, name: str) -> None:
    try:
        (folder / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / name):
            pass
    except OSError as problem:
        raise StoreError(
            f"{folder / name}, where the results of the study go, cannot be written ({problem.strerror}): check its "
            f"permissions, or name another folder with --results"
        ) from problem


def standing(study: Study, folder: Path) -> dict[tuple[str, int], RunResult]:
    """Results that are there already, of the study's runs. Raises DataError for a file that is something else."""
    found: dict[tuple[str, int], RunResult] = {}
    for method, seed in study.runs():
        file = run_file(folder, study.name, method.name, seed)
        if file.exists():
            result = RunResult.read(file)
            if (result.study, result.method, result.seed) != (study.name, method.name, seed):
                raise DataError(
                    f"{file} holds the run {result.method}-{result.seed} of {result.study!r}, not what its name says: "
                    f"put it back where it belongs, or remove it"
                )
            found[method.name, seed] = result
    return found


def require_unchanged(study: Study, results: Mapping[tuple[str, int], RunResult], folder: Path) -> None:
    """Raises ConfigError showing every setting in which the study differs from what its runs were made with."""
    lines: list[str] = []
    for (name, seed), result in results.items():
        method = study.methods[name]
        waited = {of: results[of, seed] for of in method.waits_for if (of, seed) in results}
        is_known = len(waited) == len(method.waits_for)
        now = departures(study.config(method, seed, waited if is_known else None))
        unknown = set() if is_known else {".".join(at) for at, _ in method.references}
        before = {key: value for key, value in result.settings.items() if key not in unknown}
        now = {key: value for key, value in now.items() if key not in unknown}
        if result.reference is not method.reference:
            before["reference"], now["reference"] = str(result.reference), str(method.reference)
        if set(result.measured) != set(study.measured):
            before["measured"], now["measured"] = (", ".join(m) or "all" for m in (result.measured, study.measured))
        lines += [f"  {name}-{seed}: {line}" for line in changed(before, now)]
    file = study_file(folder, study.name)
    if results and file.exists():
        lines += [f"  {line}" for line in _changed_plan(study, StudyResult.read(file))]
    if lines:
        listed = "\n".join(lines)
        raise ConfigError(
            f"{study.path} has changed since {len(results)} of its runs ended:\n{listed}\nThey could not be compared "
            f"with the others. Put the old values back, give the study another file name, or remove the results in "
            f"{folder / study.name} that are to be made again."
        )


def require_made_alike(results: Mapping[tuple[str, int], RunResult]) -> None:
    """Raises DataError where runs of one seed with the same settings of questions and policy, on whatever machines they
    were done, had other questions, weights or templates."""
    first: dict[str, RunResult] = {}
    for (_, seed), result in sorted(results.items()):
        of = {key: value for key, value in result.settings.items() if key.startswith(("questions.", "policy."))}
        before = first.setdefault(repr((seed, sorted(of.items()))), result)
        made = [name for name in MADE_FROM if name in before.made_from.keys() & result.made_from.keys()]
        if other := [name for name in made if before.made_from[name] != result.made_from[name]]:
            raise DataError(
                f"{before.method}-{seed} and {result.method}-{seed} have the same settings, and were made from other "
                f"{' and '.join(other)}: a dataset or a model has changed between them, or differs from machine to "
                f"machine, so they could not be compared. Remove the result that is to be made again"
            )


def _changed_plan(study: Study, before: StudyResult) -> list[str]:
    """What is named before the first run stays as it was named."""
    now = {pair_name(*pair): study.expected.get(pair_name(*pair)) for pair in study.planned}
    return [
        f"planned {pair}: {_expectation(before.planned, pair)} -> {_expectation(now, pair)}"
        for pair in dict.fromkeys([*before.planned, *now])
        if _expectation(before.planned, pair) != _expectation(now, pair)
    ]


def _expectation(planned: Mapping[str, float | None], pair: str) -> str:
    if pair not in planned:
        return "not planned"
    return "planned" if planned[pair] is None else f"at least {planned[pair]:g}"


def _waiting(
    study: Study, results: Mapping[tuple[str, int], RunResult], order: str, only: tuple[str, int] | None
) -> list[PlannedRun]:
    """What is to be done: all that does not stand, or one run and what it waits for."""
    if only is None:
        return [
            PlannedRun(method=method, seed=seed)
            for method, seed in study.runs(order)
            if (method.name, seed) not in results
        ]
    name, seed = only
    if name not in study.methods or seed not in study.seeds:
        raise ConfigError(
            f"--only {name}:{seed} is no run of {study.path}. Methods: {', '.join(study.methods)}; seeds: "
            f"{', '.join(map(str, study.seeds))}."
        )
    needed, found = [name], list[PlannedRun]()
    while needed:
        method = study.methods[needed.pop()]
        is_standing = (method.name, seed) in results
        if not is_standing or method.name == name:
            found.append(PlannedRun(method=method, seed=seed, again=is_standing))
            needed += [of for of in method.waits_for if of not in [run.method.name for run in found]]
    return found
