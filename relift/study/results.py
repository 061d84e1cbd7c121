"""What a run of a study came to, and the whole study: frozen, written and read here alone.

A run's file ``<study>/<method>-<seed>.json`` stands for the run: where it is, the run is not done again and its folder
is not needed. ``<study>.json`` is made from those files. Accuracies and differences are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from relift.study.stored import Stored

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Band = Literal["always", "sometimes", "unsolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyResult:
    """One benchmark or family, e.g. kind ``"unreached"``, base 0.01, start 0.2, after 0.83, questions 400."""

    kind: str
    """Difficulty class of an arithmetic family; empty elsewhere."""
    base: Share
    start: Share
    """After the warm start; as base without one."""
    after: Share
    questions: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A held-out evaluation on the way, with what was spent before it. Few questions in between, all at both ends."""

    iteration: Count
    """Iterations behind it; 0 is the start."""
    rollouts: Count
    update_flops: Amount
    demonstrations: Count
    """Distinct, taught before it."""
    mean: Share
    families: Mapping[str, Share]
    full: bool
    """Whether all held-out questions were asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPoint:
    """The training rollouts of an iteration."""

    iteration: Count
    rollouts: Count
    """Spent until its end."""
    accuracy: Share
    unsolved: Count
    """Groups that the gate called hardest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionResults:
    """The held-out questions of a benchmark, in the order of their ids: how many samples of each were right."""

    asked: str
    """Digest of the ids: where it is equal, the same place in the lists is the same question."""
    samples: Annotated[int, Field(ge=1)]
    """Of each question."""
    before: tuple[Count, ...]
    """Under the base, or what the warm start made of it."""
    after: tuple[Count, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftResult:
    """What teaching a question did for it, against like controls; see docs/ledger.md."""

    lift: Finite
    low: Finite
    high: Finite
    taught_questions: Count
    control_questions: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(Stored):
    """One method under one seed."""

    format: Literal[1] = 1
    study: str
    method: str
    seed: Count
    reference: bool
    """A method without rollouts: a row to look at, at no budget equal to the others'."""
    date: str
    """ISO 8601, UTC, when the run ended."""
    command: str
    versions: Mapping[str, str]
    """relift, python, torch, transformers, ..."""
    machine: str
    settings: Mapping[str, str]
    """Dotted key to value as text, of what differs from the defaults."""
    fingerprint: str
    """Digest of them."""
    made_from: Mapping[str, str]
    """Digests of the questions, the base weights and the prompts."""
    budget: Mapping[str, Amount]
    """What the run might spend: rollouts, update_flops, demonstrations; those that were given."""
    mean: Share
    """Of the families after training, or of those ``measured``; so are the next two, and the curve's."""
    mean_base: Share
    mean_start: Share
    families: Mapping[str, FamilyResult]
    demonstrations: Count
    """Distinct, taught, those of the warm start too."""
    controls_bought: Count
    """Admitted demonstrations of questions that are never taught."""
    rollouts: Count
    """Training completions; probes and evaluations are none."""
    update_flops: Amount
    optimizer_steps: Count
    sampled_tokens: Count
    trained_tokens: Count
    seconds: Amount
    """Wall-clock, of the processes that ran it."""
    cost_usd: Amount
    control_cost_usd: Amount
    """Of that of all teachers, what the controls' solutions cost."""
    iterations: Count
    weights_sha256: str
    curve: tuple[CurvePoint, ...]
    training: tuple[TrainingPoint, ...]
    questions: Mapping[str, QuestionResults]
    """By benchmark, every held-out question."""
    transitions: Mapping[Band, Mapping[Band, Count]]
    """Held-out questions, from before to after."""
    forgotten: Count
    """Held-out questions answered before (more than half of the samples right) and not after."""
    learned: Count
    """The reverse."""
    lift: Mapping[str, LiftResult] | None
    """By iterations after teaching; None where it is not defined."""
    measured: tuple[str, ...] = ()
    """Benchmarks that the study asks for; empty: all."""

    @property
    def asked(self) -> int:  # held-out questions
        return sum(len(found.after) for found in self.questions.values())

    @property
    def budget_used(self) -> float | None:
        """Share of the budget of rollouts or update FLOPs that was spent, e.g. 1.004 where the last iteration went over
        it, below 1 where ``iterations`` ended the run before; None where neither was given."""
        given = self.budget.keys() & {"rollouts", "update_flops"}
        return max((getattr(self, what) / self.budget[what] for what in given), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """A run's line in the study."""

    mean: Share
    mean_base: Share
    mean_start: Share
    families: Mapping[str, Share]
    """After training."""
    demonstrations: Count
    rollouts: Count
    update_flops: Amount
    optimizer_steps: Count
    seconds: Amount
    cost_usd: Amount
    weights_sha256: str
    budget_used: Amount | None = None
    """As of ``RunResult``."""

    @classmethod
    def of(cls, run: RunResult) -> StudyRun:
        own = {name: getattr(run, name) for name in cls.__dataclass_fields__ if name != "families"}
        return cls(**own, families={name: family.after for name, family in run.families.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """Mean accuracy of one method less another's, e.g. mean 0.24, low 0.2, high 0.28, p 0.0002."""

    first: str
    second: str
    mean: Finite
    low: Finite
    """95 %, of this pair alone."""
    high: Finite
    p: Share
    """Of no difference, two-sided."""
    p_adjusted: Share
    """Holm's over all exploratory pairs; p itself where the pair was planned."""
    planned: bool
    """Named before the first run; the others are exploratory."""
    over: Literal["seeds", "questions"]
    """What the interval is over. questions: under 4 seeds, and it says nothing of other seeds."""
    by_seed: Mapping[str, Finite]
    expected: Finite | None = None
    """The least difference that the study named beforehand; None where it named none."""

    @property
    def is_loss(self) -> bool:
        """Whether it came out worse than was expected, or for the second method."""
        return self.high < 0 or (self.expected is not None and self.mean < self.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodMean:
    """A method over its seeds, e.g. mean 0.89, low 0.87, high 0.91; the interval is as its pairs' are."""

    mean: Share
    low: Finite
    high: Finite
    over: Literal["seeds", "questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult(Stored):
    """The whole, of the runs that have ended."""

    format: Literal[1] = 1
    study: str
    title: str
    date: str
    """Of the run that ended last."""
    command: str
    versions: Mapping[str, str]
    machines: tuple[str, ...]
    recipe: str
    seeds: tuple[Count, ...]
    questions: Count
    """Held-out questions of each run, of those measured."""
    budget: Mapping[str, str]
    """Of all methods, as the study says it."""
    methods: Mapping[str, Mapping[str, StudyRun]]
    """By method, in the study's order, and by seed."""
    means: Mapping[str, MethodMean]
    """Of the methods of which any run has ended."""
    references: tuple[str, ...]
    """Methods without rollouts."""
    planned: Mapping[str, float | None]
    """Pairs that were named before the first run, with the difference that each was expected to reach, if any."""
    pairs: Mapping[str, PairResult]
    """By ``"first - second"``, the planned ones first."""
    missing: tuple[str, ...] = field(default=())
    """``method-seed`` of the runs that have not ended."""

    @property
    def budget_used(self) -> dict[str, float]:
        """Share of its budget that each run spent, by ``method-seed``; without those that have none."""
        return {
            f"{method}-{seed}": run.budget_used
            for method, runs in self.methods.items()
            for seed, run in runs.items()
            if run.budget_used is not None
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of runs that ended before their budget was spent, and of those that came to the same weights."""
        early = (
            f"{name} ended by iterations, with {share:.1%} of its budget spent: it is not at equal cost"
            for name, share in self.budget_used.items()
            if share < 1
        )
        alike: dict[tuple[str, str], list[str]] = {}
        for method, runs in self.methods.items():
            for seed, run in runs.items():
                alike.setdefault((seed, run.weights_sha256), []).append(f"{method}-{seed}")
        same = (
            f"{' and '.join(names)} came to the same weights: what they differ in changed nothing"
            for names in alike.values()
            if len(names) > 1
        )
        return (*early, *same)

    @property
    def losses_first(self) -> tuple[PairResult, ...]:
        """The pairs as they are to be read."""
        return tuple(sorted(self.pairs.values(), key=lambda pair: (not pair.is_loss, not pair.planned)))
