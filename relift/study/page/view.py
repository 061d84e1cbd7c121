"""What the page shows of a study, put together from its records: methods with their runs, in the study's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from relift.study.results import FamilyResult, MethodMean, PairResult, RunResult, StudyResult

GRPO = "grpo"
"""The method that every other one is held against where the study has it."""
NONE, OFF = "None", "off"
"""How a run's file has a section that is off, and how a person does."""
DEFAULT = "default"
"""What a setting is that a run's file does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method and the runs of it that have ended, in the order of the seeds."""

    name: str
    number: int
    """Its position in the study, which decides how it is drawn."""
    runs: tuple[RunResult, ...]
    mean: MethodMean
    missing: tuple[int, ...]
    """Seeds without a run."""
    is_reference: bool

    def average(self, of: Callable[[RunResult], float]) -> float:
        """Mean over the seeds."""
        return fmean(of(run) for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    result: StudyResult
    methods: tuple[Method, ...]
    """Of which any run has ended."""
    waiting: tuple[str, ...]
    """Methods of which none has."""

    def method(self, name: str) -> Method:
        """One of ``methods``."""
        return next(method for method in self.methods if method.name == name)

    @property
    def ranked(self) -> tuple[Method, ...]:
        """The best first."""
        return tuple(sorted(self.methods, key=lambda method: (-method.mean.mean, method.number)))

    @property
    def has_reference(self) -> bool:
        return any(method.is_reference for method in self.methods)

    @property
    def untaught(self) -> tuple[str, ...]:
        """Runs to which a warm start or a budget gave no demonstration."""
        return tuple(
            f"{run.method}-{run.seed}"
            for method in self.methods
            for run in method.runs
            if run.budget.get("demonstrations") == 0 or run.settings.get("warm_start.demonstrations") == "0"
        )

    @property
    def families(self) -> dict[str, FamilyResult]:
        """Every family in the order of the first run that has it, by kind as they come."""
        found: dict[str, FamilyResult] = {}
        for method in self.methods:
            for run in method.runs:
                for name, family in run.families.items():
                    found.setdefault(name, family)
        kinds = list(dict.fromkeys(family.kind for family in found.values()))
        return dict(sorted(found.items(), key=lambda item: kinds.index(item[1].kind)))

    @property
    def base(self) -> float | None:
        """Mean accuracy of the base over all runs."""
        return fmean(run.mean_base for method in self.methods for run in method.runs) if self.methods else None

    @property
    def planned(self) -> tuple[PairResult, ...]:
        return tuple(pair for pair in self.result.pairs.values() if pair.planned)

    @property
    def not_yet(self) -> tuple[str, ...]:
        """Planned comparisons of which no seed has both runs."""
        return tuple(name for name in self.result.planned if name not in self.result.pairs)

    @property
    def exploratory(self) -> tuple[PairResult, ...]:
        """The clearest first."""
        pairs = [pair for pair in self.result.pairs.values() if not pair.planned]
        return tuple(sorted(pairs, key=lambda pair: (pair.p_adjusted, -abs(pair.mean), pair.first, pair.second)))

    @property
    def losses(self) -> tuple[PairResult, ...]:
        return tuple(pair for pair in self.planned if fell_short(pair))

    @property
    def beaten(self) -> tuple[PairResult, ...]:
        """Exploratory comparisons that a method with a planned one lost: what is claimed for it is claimed of the
        planned ones alone. The largest loss first."""
        claimed = {pair.first for pair in self.planned}
        lost = [pair for pair in self.exploratory if pair.first in claimed and pair.is_loss]
        return tuple(sorted(lost, key=lambda pair: pair.mean))

    @property
    def below_grpo(self) -> tuple[Method, ...]:
        """Methods with a lower mean than plain GRPO, the lowest last."""
        grpo = next((method for method in self.methods if method.name == GRPO), None)
        return tuple(m for m in self.ranked if grpo and m.mean.mean < grpo.mean.mean)


def fell_short(pair: PairResult) -> bool:
    """Whether a planned comparison missed what was expected of it, or its interval does not lie above 0."""
    return pair.low <= 0 or (pair.expected is not None and pair.mean < pair.expected)


def study_view(result: StudyResult, runs: Sequence[RunResult]) -> StudyView:
    """Runs of other studies or of seeds that the study has no more are left out."""
    by_name: dict[str, list[RunResult]] = {name: [] for name in result.methods}
    by_name.update({name.rsplit("-", 1)[0]: [] for name in result.missing if name.rsplit("-", 1)[0] not in by_name})
    for run in sorted(runs, key=lambda run: run.seed):
        if run.study == result.study and run.method in by_name and run.seed in result.seeds:
            by_name[run.method].append(run)
    ended = {name for name, found in by_name.items() if found and name in result.means}
    return StudyView(
        result=result,
        methods=tuple(
            Method(
                name=name,
                number=number,
                runs=tuple(found),
                mean=result.means[name],
                missing=tuple(sorted(set(result.seeds) - {run.seed for run in found})),
                is_reference=name in result.references,
            )
            for number, (name, found) in enumerate(by_name.items())
            if name in ended
        ),
        waiting=tuple(name for name in by_name if name not in ended),
    )


def differing_settings(methods: Sequence[Method]) -> dict[str, dict[str, list[str]]]:
    """Setting to value to the methods that have it, of the settings in which two methods differ, seeds aside.

    Where a method's runs differ among themselves (a budget that another run of the same seed sets) its value is all of
    them. A section that is off has no settings to differ in.
    """
    keys = sorted({key for method in methods for run in method.runs for key in run.settings} - {"seed"})
    sections = {section for key in keys for section in _sections(key)}
    found: dict[str, dict[str, list[str]]] = {}
    for key in keys:
        values: dict[str, list[str]] = {}
        for method in methods:
            own = dict.fromkeys(run.settings.get(key, DEFAULT) for run in method.runs if not _is_within_off(run, key))
            said = [OFF if key in sections and value == NONE else value for value in own]
            if said:
                values.setdefault(", ".join(said), []).append(method.name)
        if len(values) > 1:
            found[key] = values
    return found


def _is_within_off(run: RunResult, key: str) -> bool:
    return any(run.settings.get(section) == NONE for section in _sections(key))


def _sections(key: str) -> list[str]:
    """Those that a setting is in, e.g. of ``rl.optimizer.lr``: ``rl``, ``rl.optimizer``."""
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
