"""A run while it is open: its configuration, its parts, and what moves from iteration to iteration."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relift.config.resolved import Resolved
from relift.interleave import Interleaving
from relift.policy.engine import Engine
from relift.policy.policy import Policy
from relift.policy.student import Student
from relift.questions import QuestionOrder, QuestionSet
from relift.records import PolicyVersion, Spent
from relift.reward import Reward
from relift.run import checkpoint
from relift.run.decoded import DecodedRollouts
from relift.run.recorded import WARM_START, EvaluationRecord, find, phase_key
from relift.run.session import Session

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Run(Session):
    """Everything the phases of one run need; ``open_run`` makes it."""

    resolved: Resolved
    fingerprint: str
    iterations: int | None
    """At most; None where the budget alone says when the run ends."""
    reward: Reward | None
    """None where it follows from the verdict alone."""
    questions: QuestionSet
    order: QuestionOrder
    student: Student
    policy: Policy
    engine: Engine
    base: PolicyVersion
    base_weights: Any
    interleaving: Interleaving
    spent: Spent = dataclasses.field(default_factory=Spent)
    """Until the iteration that comes next."""
    noted_trouble: str = ""
    """What was last said about teachers that do not answer."""
    has_reference: bool = False
    """Whether the start model holds what the warm start came to."""
    checked: bool = False
    """Whether the self-checks of engine and trainer have passed in this process."""
    decoded: DecodedRollouts = dataclasses.field(default_factory=DecodedRollouts)

    def __exit__(self, *exc: object) -> None:
        """As of a session: each of one's own may fail, and what is left is closed all the same."""
        with ExitStack() as closing:
            closing.callback(Session.__exit__, self, *exc)
            closing.callback(self.engine.close)
            if self.reward is not None:
                closing.callback(self.reward.close)

    def load_base(self, policy: Policy) -> None:
        """Put the base model's weights and fresh optimizers into the policy: version 0."""
        checkpoint.put_weights(policy.model, self.base_weights)
        for optimizer in filter(None, (*policy.optimizers.values(), policy.warm_start)):
            optimizer.state.clear()

    @property
    def compares_with_start(self) -> bool:
        """Whether its RL updates read the start model: for a KL term, or since the rule distils from it."""
        return self.config.rl is not None and (self.config.rl.kl is not None or self.interleaving.rule.rule.distils)

    @property
    def first(self) -> int:
        """What the run begins with: iteration 0, or the warm start before it."""
        return WARM_START if self.config.warm_start else 0

    def resume(self) -> tuple[int, PolicyVersion]:
        """(iteration, version) to go on from, with the method's state as it was; the start without a checkpoint."""
        key = checkpoint.newest(self.store)
        self.spent = Spent()
        if key is None:
            return self.first, self.base
        snapshot = checkpoint.read_snapshot(self.store, key)
        self.interleaving.restore(snapshot.interleaving)
        self.order.restore(snapshot.order)
        self.spent = snapshot.spent
        log.info("resuming from %s", key)
        return snapshot.iteration, snapshot.version

    def is_over(self, iteration: int) -> bool:
        """Whether the run ends before an iteration: it has had its iterations, or its budget is used up."""
        return self.done(iteration) >= 1

    def done(self, iteration: int) -> float:
        """Share of the run that is done before the iteration that comes next, in [0, 1]."""
        share = self.config.budget.share(self.spent) or 0.0
        if self.iterations is None:
            return share
        return 1.0 if iteration >= self.iterations else max(share, iteration / self.iterations)

    def best_iteration(self) -> int | None:
        """The checkpoint with the highest mean among the evaluations in between; None before there is one."""
        means = {}
        for key in self.store.keys("checkpoints"):
            iteration = int(Path(key).name)
            found = find(self.store, phase_key(iteration, "evaluate"), EvaluationRecord)
            if found is not None and not found.full:
                means[iteration] = found.mean
        return max(means, key=lambda i: (means[i], i)) if means else None

    def kind_of(self, benchmark: str) -> str:
        """Kind of an arithmetic family; empty for every other benchmark."""
        if self.config.questions.format != "arithmetic":
            return ""
        from relift.arithmetic.families import FAMILIES

        dataset, _, name = benchmark.partition("/")
        return FAMILIES[name].kind.value if dataset == "arithmetic" and name in FAMILIES else ""
