"""What a finished run came to, out of its folder: its ledger, its summary and what it was started with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from relift.config.recipe import recorded_config
from relift.errors import RunError
from relift.ledger.project import open_file
from relift.ledger.schema import SNAPSHOT
from relift.records import BUDGETED
from relift.run.identity import read_identity
from relift.run.summary import RunSummary, stored_summary
from relift.store import Store
from relift.store.manifest import digest
from relift.study.results import Band, CurvePoint, FamilyResult, LiftResult, QuestionResults, RunResult, TrainingPoint
from relift.study.settings import departures

VERSIONS = ("relift", "python", "torch", "transformers", "vllm")
_BUDGETED = f"purpose IN ({', '.join(repr(purpose.value) for purpose in sorted(BUDGETED))})"
_SPENDING = {
    "rollouts": f"SELECT iteration, sum(rollouts)::BIGINT FROM groups WHERE {_BUDGETED} GROUP BY iteration",
    "flops": "SELECT iteration, sum(flops) FROM updates GROUP BY iteration",
}
SUMMED = (
    *("demonstrations", "rollouts", "update_flops", "optimizer_steps", "sampled_tokens", "trained_tokens"),
    *("controls_bought", "cost_usd", "control_cost_usd", "iterations", "weights_sha256"),
)
"""What the run itself has summed."""
Ask = Callable[[str], list[Any]]
"""Rows of a query on the run's ledger."""
At = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """Of a run in its study."""

    study: str
    method: str
    seed: int
    reference: bool
    command: str
    measured: tuple[str, ...] = ()
    """Benchmarks that accuracy is the mean of; empty: all."""


def collect(store: Store, title: Title) -> RunResult:
    """Raises RunError for a run that has not come to its end, LedgerError for a ledger that cannot be read."""
    summary = stored_summary(store)
    store.fetch_file(SNAPSHOT)
    if summary is None or not (store.root / SNAPSHOT).is_file():
        raise RunError(f"the run in {store.root} has not come to its end, so there is no result of it: run it first")
    identity = read_identity(store)
    config = recorded_config(identity["config"], origin=str(store.root))
    resolved, settings = identity["resolved"], departures(config)
    with open_file(store.root / SNAPSHOT) as connection:
        ask: Ask = lambda sql: connection.execute(sql).fetchall()  # noqa: E731
        evaluated, spent = _Evaluations(ask, title.measured), SpentUntil(ask)
        _require_one_count(store, summary, spent)
        questions = evaluated.questions()
        return RunResult(
            study=title.study,
            method=title.method,
            seed=title.seed,
            reference=title.reference,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            command=title.command,
            versions={name: resolved[name] for name in VERSIONS if resolved.get(name)},
            machine=f"{resolved['machine']}, {resolved['device']}",
            settings=settings,
            fingerprint=digest(sorted(settings.items())),
            made_from=identity["made_from"],
            budget={key: float(value) for key, value in config.budget.model_dump().items() if value is not None},
            mean=evaluated.mean(evaluated.last),
            mean_base=evaluated.mean(evaluated.first),
            mean_start=evaluated.mean(evaluated.start),
            families=evaluated.families(),
            **{name: getattr(summary, name) for name in SUMMED},
            curve=tuple(_point(evaluated, spent, at) for at in evaluated.points if evaluated.measures(at)),
            training=_training(ask, spent),
            questions=questions,
            transitions=_transitions(questions),
            forgotten=sum(before > 0.5 >= after for before, after in _shares(questions)),
            learned=sum(after > 0.5 >= before for before, after in _shares(questions)),
            lift=_lift(ask),
            seconds=_seconds(ask),
            measured=title.measured,
        )


def _require_one_count(store: Store, summary: RunSummary, spent: SpentUntil) -> None:
    """The run summed the manifests of its phases while it went on; its ledger was written beside them."""
    for name, counted in (("rollouts", spent.of("rollouts")), ("demonstrations", spent.demonstrations())):
        if (said := getattr(summary, name)) != counted:
            raise RunError(
                f"the run in {store.root} spent {said} {name}, and its ledger counts {counted}, so a table of them "
                f"would be wrong: `relift ledger check` says what is missing, `relift ledger rebuild` makes it again"
            )


class _Evaluations:
    """Held-out results, each at (iterations behind it, policy version)."""

    def __init__(self, ask: Ask, measured: tuple[str, ...]) -> None:
        self.ask = ask
        self.measured = measured
        self.of: dict[At, dict[str, tuple[float, int, str]]] = defaultdict(dict)
        """By benchmark: (accuracy, questions, kind)."""
        sql = "SELECT iteration, version, benchmark, avg_at_k, questions, kind FROM evaluations ORDER BY ALL"
        for iteration, version, benchmark, *found in ask(sql):
            self.of[iteration, version][family_of(benchmark)] = (*found,)
        if not self.of:
            raise RunError("the run has no evaluation, so there is nothing to compare: leave evaluation=off out")

    @property
    def points(self) -> list[At]:
        return list(self.of)

    @property
    def first(self) -> At:
        """Of the base model."""
        return self.points[0]

    @property
    def start(self) -> At:
        """After the warm start, which no iteration is before; the base where there is none."""
        return [at for at in self.points if at[0] <= 0][-1]

    @property
    def last(self) -> At:
        return self.points[-1]

    def shares(self, at: At) -> dict[str, float]:
        return {name: found[0] for name, found in self.of[at].items()}

    def measures(self, at: At) -> dict[str, float]:
        """The shares that the mean is of: none where on the way no benchmark of the study's is asked."""
        return {name: share for name, share in self.shares(at).items() if name in self.measured or not self.measured}

    def mean(self, at: At) -> float:
        return fmean(self.measures(at).values())

    def is_full(self, at: At) -> bool:
        """Of few questions in between there are no benchmarks, or fewer questions of each."""
        return {name: found[1] for name, found in self.of[at].items()} == {
            name: found[1] for name, found in self.of[self.last].items()
        }

    def families(self) -> dict[str, FamilyResult]:
        base, start = self.shares(self.first), self.shares(self.start)
        return {
            name: FamilyResult(kind=kind, base=base[name], start=start[name], after=after, questions=count)
            for name, (after, count, kind) in self.of[self.last].items()
        }

    def questions(self) -> dict[str, QuestionResults]:
        """Asked at both ends."""
        (begin, start), (end, last) = self.start, self.last
        sql = f"""
            WITH ends AS (
                SELECT source, question_id, max(rollouts) AS samples,
                    sum(correct) FILTER (iteration = {begin} AND policy_version = {start}) AS before,
                    sum(correct) FILTER (iteration = {end} AND policy_version = {last}) AS after
                FROM groups JOIN questions USING (run, question_id)
                WHERE purpose = 'evaluation' GROUP BY ALL HAVING after IS NOT NULL)
            SELECT source, list(question_id ORDER BY question_id), max(samples),
                list(before::INT ORDER BY question_id), list(after::INT ORDER BY question_id)
            FROM ends GROUP BY source ORDER BY source"""
        return {
            family_of(source): QuestionResults(
                asked=digest(ids), samples=samples, before=tuple(before), after=tuple(after)
            )
            for source, ids, samples, before, after in self.ask(sql)
        }


class SpentUntil:
    """What was spent until an iteration; without one, by the whole run."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.by_iteration: dict[str, dict[int, Any]] = {name: dict(ask(sql)) for name, sql in _SPENDING.items()}
        taught = ask("SELECT demonstration_id, min(iteration) FROM uses GROUP BY demonstration_id")
        self.first_taught: dict[str, int] = dict(taught)

    def of(self, what: str, until: int | None = None) -> Any:
        return sum(amount for at, amount in self.by_iteration[what].items() if until is None or at < until)

    def demonstrations(self, until: int | None = None) -> int:
        return sum(until is None or at < until for at in self.first_taught.values())


def _point(evaluated: _Evaluations, spent: SpentUntil, at: At) -> CurvePoint:
    """The base is evaluated before anything, a warm start too, is spent."""
    until = -1 if at == evaluated.first else at[0]
    return CurvePoint(
        iteration=max(0, at[0]),
        rollouts=spent.of("rollouts", until),
        update_flops=float(spent.of("flops", until)),
        demonstrations=spent.demonstrations(until),
        mean=evaluated.mean(at),
        families=evaluated.shares(at),
        full=evaluated.is_full(at),
    )


def _training(ask: Ask, spent: SpentUntil) -> tuple[TrainingPoint, ...]:
    return tuple(
        TrainingPoint(
            iteration=iteration, rollouts=spent.of("rollouts", iteration + 1), accuracy=accuracy, unsolved=unsolved
        )
        for iteration, accuracy, unsolved in ask(
            "SELECT iteration, accuracy, unsolved FROM iterations ORDER BY iteration"
        )
    )


def _seconds(ask: Ask) -> float:
    """Of the phases of iterations, but for source, which runs beside an update, and of a warm start's updates."""
    ((seconds,),) = ask("""
        SELECT
            coalesce((SELECT sum(list_sum(map_values(seconds)) - coalesce(seconds['source'], 0)) FROM iterations), 0)
                + coalesce((SELECT sum(seconds) FROM updates WHERE iteration < 0), 0)""")
    return float(seconds)


def _lift(ask: Ask) -> dict[str, LiftResult] | None:
    sql = """
        SELECT distance, lift, lift_low, lift_high, taught_questions, control_questions
        FROM lift WHERE lift_low IS NOT NULL ORDER BY distance"""
    found = {
        str(distance): LiftResult(lift=lift, low=low, high=high, taught_questions=taught, control_questions=controls)
        for distance, lift, low, high, taught, controls in ask(sql)
    }
    return found or None


def _shares(questions: Mapping[str, QuestionResults]) -> Iterator[tuple[float, float]]:
    """Of each question's samples that were right, before and after."""
    for found in questions.values():
        for before, after in zip(found.before, found.after, strict=True):
            yield before / found.samples, after / found.samples


def _transitions(questions: Mapping[str, QuestionResults]) -> dict[Band, dict[Band, int]]:
    found: dict[Band, dict[Band, int]] = defaultdict(dict)
    bands = Counter((_band(before), _band(after)) for before, after in _shares(questions))
    for (before, after), count in sorted(bands.items()):
        found[before][after] = count
    return dict(found)


def _band(share: float) -> Band:
    if share == 1:
        return "always"
    return "sometimes" if share > 0 else "unsolved"


def family_of(benchmark: str) -> str:
    return benchmark.removeprefix("arithmetic/")
