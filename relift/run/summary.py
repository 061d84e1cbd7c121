"""What a run came to, in one record: summary.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relift.config.budget import BudgetConfig
from relift.records import EvalResult, PolicyVersion, Spent
from relift.run.identity import SUMMARY_FILE
from relift.store import Store
from relift.store.folder import write_atomically

if TYPE_CHECKING:
    from relift.run.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyScore:
    """One benchmark before and after, shares in [0, 1], e.g. kind ``"unreached"``, base 0.01, after 0.83."""

    kind: str
    base: float
    start: float
    """After the warm start; the base's where there is none."""
    after: float
    low: float
    """Lower end of the 95 % interval of ``after``."""
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    run: str
    recipe: str
    seed: int
    families: Mapping[str, FamilyScore] = field(default_factory=dict)
    mean_base: float = 0.0
    mean_start: float = 0.0
    mean_after: float = 0.0
    n: int = 0
    """Held-out questions per family."""
    demonstrations_used: int = 0
    """Distinct demonstrations that an update trained on."""
    questions: int = 0
    """Training questions asked, each counted once."""
    iterations: int = 0
    rollouts: int = 0
    """This and the next five are what the run spent, as in ``Spent``."""
    update_flops: float = 0.0
    demonstrations: int = 0
    optimizer_steps: int = 0
    sampled_tokens: int = 0
    trained_tokens: int = 0
    seconds: float = 0.0
    """Wall seconds of the process that finished the run."""
    prefect_share: float = 0.0
    """Share of the wall time in the flow in which no phase was running."""
    prefect_start_s: float = 0.0
    """Seconds until our own Prefect server answered and the flow's body began."""
    cost_usd: float = 0.0
    """Of teachers' answers, and at most of what was sent and never answered."""
    controls_bought: int = 0
    """Questions that are never taught for which a demonstration was admitted."""
    control_cost_usd: float = 0.0
    """What of the cost was for them."""
    teacher: str = ""
    """What an API teacher was asked and what came of it, in a sentence; empty where the recipe names none."""
    weights_sha256: str = ""
    """Over sorted tensor names and bytes of the final weights."""

    @property
    def spent(self) -> Spent:
        return Spent(**{amount.name: getattr(self, amount.name) for amount in fields(Spent)})

    @property
    def used(self) -> str:
        """E.g. "480 demonstrations used for 7,680 training questions (6.2%)"; the questions where any was asked."""
        used = f"{self.demonstrations_used:,} demonstrations used"
        if not self.questions:
            return used
        return f"{used} for {self.questions:,} training questions ({self.demonstrations_used / self.questions:.1%})"

    def goes_on(self, budget: BudgetConfig, iterations: int | None) -> bool:
        """Whether so many iterations leave any to run, and the budget too."""
        return self.iterations < (iterations or 0) and (budget.share(self.spent) or 0) < 1

    def timed(self, *, seconds: float, prefect_share: float, prefect_start_s: float) -> RunSummary:
        return replace(self, seconds=seconds, prefect_share=prefect_share, prefect_start_s=prefect_start_s)

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> RunSummary:
        tree = {"mean_start": tree["mean_base"], **tree}  # an earlier relift had no warm start
        families = {
            name: FamilyScore(**{"start": score["base"], **score}) for name, score in tree.pop("families").items()
        }
        return cls(**tree, families=families)


def summarise_run(
    run: Run,
    iteration: int,
    version: PolicyVersion,
    *,
    before: Sequence[EvalResult],
    start: Sequence[EvalResult],
    after: Sequence[EvalResult],
) -> RunSummary:
    """Held-out results of the base, after the warm start and after so many iterations, and what was spent for them."""
    base, started = ({r.benchmark: r.avg_at_k for r in results} for results in (before, start))
    order = list(run.config.questions.families)
    after = sorted(after, key=lambda r: _position(order, r.benchmark))
    families = {
        r.benchmark.removeprefix("arithmetic/"): FamilyScore(
            kind=r.kind, base=base[r.benchmark], start=started[r.benchmark], after=r.avg_at_k, low=r.low, high=r.high
        )
        for r in after
        if r.benchmark in base
    }
    count = max(1, len(families))
    asked = "SELECT count(DISTINCT question_id) FROM groups WHERE purpose = 'train'"
    return RunSummary(
        run=run.name,
        recipe=run.config.recipe,
        seed=run.config.seed,
        families=families,
        mean_base=sum(s.base for s in families.values()) / count,
        mean_start=sum(s.start for s in families.values()) / count,
        mean_after=sum(s.after for s in families.values()) / count,
        n=min((r.questions for r in after), default=0),
        demonstrations_used=run.ledger.execute("SELECT count(DISTINCT demonstration_id) FROM uses")[0][0],
        questions=run.ledger.execute(asked)[0][0],
        iterations=iteration,
        **asdict(run.spent),
        teacher=describe_teacher(run),
        **_bought(run),
        weights_sha256=version.checksum,
    )


def _bought(run: Run) -> dict[str, Any]:
    """Cost of all answers and of those for controls, which are told apart by the hash of their id."""
    paid = run.ledger.execute(
        "SELECT question_id, sum(coalesce(cost_usd, 0) + unanswered_usd) FROM teacher_requests GROUP BY question_id"
    )
    solved = run.ledger.execute("SELECT DISTINCT question_id FROM demonstrations WHERE refusal IS NULL")
    return {
        "cost_usd": sum((cost for _, cost in paid), 0.0),
        "controls_bought": sum(run.interleaving.is_control(question) for (question,) in solved),
        "control_cost_usd": sum((cost for q, cost in paid if q and run.interleaving.is_control(q)), 0.0),
    }


def describe_teacher(run: Run) -> str:
    """For a person: questions, answers, demonstrations and money; plainly where nothing came."""
    api = run.config.teacher.api
    if api is None or not run.config.needs_teachers:
        return ""
    asked = run.ledger.requests.totals()
    (solved,), (taught,) = run.ledger.execute(
        "SELECT count(DISTINCT question_id) FROM demonstrations WHERE refusal IS NULL AND source = ? "
        "UNION ALL SELECT count(*) FROM uses",
        [f"api/{api.model}"],
    )
    text = (
        f"{api.model} was asked {asked.questions} questions: {asked.answered} of {asked.requests} requests answered "
        f"({asked.bought} by the server, the rest known from other runs), {solved} questions solved, "
        f"{asked.cost_usd:.4f} USD"
    )
    if taught == 0:
        why = run.teachers.trouble or "not enough demonstrations came for an update"
        return f"no demonstration was taught, so this run was plain GRPO: {why} ({text})"
    return f"{text}; {run.teachers.trouble}" if run.teachers.trouble else text


def _position(order: list[str], benchmark: str) -> int:
    """Families stand in the order of the recipe; everything else as it came."""
    family = benchmark.removeprefix("arithmetic/")
    return order.index(family) if family in order else len(order)


def write_summary(root: Path, summary: RunSummary) -> None:
    write_atomically(root / SUMMARY_FILE, summary.to_json())


def stored_summary(store: Store) -> RunSummary | None:
    """None for a run that has not come to its end: its summary is the last thing it writes."""
    content = store.read_file(SUMMARY_FILE)
    return None if content is None else RunSummary.from_tree(json.loads(content))


def read_summary(root: Path) -> RunSummary:
    return RunSummary.from_tree(json.loads((root / SUMMARY_FILE).read_bytes()))
