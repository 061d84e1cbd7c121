"""A run while it is open: its configuration, its rooms, and what moves from iteration to iteration.

Tasks are handed a ``RunRef``; ``resolve`` finds the open run behind it in this process (placement ``inline``).
"""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from relift.config import RunConfig
from relift.config.resolved import Resolved
from relift.errors import ConfigError, DataError
from relift.interleave import Interleaving
from relift.interrupt import StopFlag
from relift.ledger import Ledger, RunStatus, write_init_script
from relift.ledger.schema import SNAPSHOT
from relift.policy.engine import Engine
from relift.policy.policy import Policy
from relift.policy.student import Student
from relift.questions import QuestionOrder, QuestionSet
from relift.records import PolicyVersion
from relift.reward import Reward
from relift.run import checkpoint
from relift.run.lock import RunLock
from relift.run.progress import METRICS, Progress
from relift.run.publisher import Publisher
from relift.run.recorded import EvaluationRecord, find
from relift.store import Store
from relift.teacher.queue import DRAIN_SECONDS, TeacherDesk
from relift.verifier import Verifier

log = logging.getLogger(__name__)
SNAPSHOT_SECONDS = 2.0
"""For a snapshot of the ledger to become whole once the run is asked to stop; of a large one the last stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """Where a run lies, e.g. uri ``"runs/demo-0"``, name ``"demo-0"``."""

    uri: str
    name: str


_open_runs: dict[str, Run] = {}


def resolve(ref: RunRef) -> Run:
    """The run that this process holds open under a reference."""
    return _open_runs[ref.uri]


def is_open(ref: RunRef) -> bool:
    return ref.uri in _open_runs


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything the phases of one run need; ``opening.open_run`` makes it, leaving its context closes it."""

    name: str
    root: Path
    config: RunConfig
    resolved: Resolved
    fingerprint: str
    iterations: int
    store: Store
    lock: RunLock
    ledger: Ledger
    verifier: Verifier
    reward: Reward | None
    """None where it follows from the verdict alone."""
    questions: QuestionSet
    order: QuestionOrder
    student: Student
    policy: Policy
    engine: Engine
    teachers: TeacherDesk
    base: PolicyVersion
    base_weights: Any
    interleaving: Interleaving
    told_trouble: str = ""
    """What was last said about teachers that do not answer."""
    is_complete: bool = False
    checked: bool = False
    """Whether the self-checks of engine and trainer have passed in this process."""
    published_at: float = dataclasses.field(default_factory=time.monotonic)
    stop: StopFlag = dataclasses.field(default_factory=StopFlag)
    progress: Progress = dataclasses.field(default_factory=Progress)
    publisher: Publisher = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.publisher = Publisher(self._publish_ledger)

    @property
    def ref(self) -> RunRef:
        return RunRef(uri=str(self.root), name=self.name)

    @property
    def snapshot_path(self) -> Path:
        return self.root / SNAPSHOT

    def key(self, place: str) -> str:
        """Of a batch in the ledger: a phase that is written again is recognised by it."""
        return f"{self.name}/{place}"

    def __enter__(self) -> Self:
        _open_runs[self.ref.uri] = self
        return self

    def __exit__(self, *exc: object) -> None:
        _open_runs.pop(self.ref.uri, None)
        self.teachers.close(0.5 if self.stop.is_set else DRAIN_SECONDS)
        self.verifier.close()
        if self.reward is not None:
            self.reward.close()
        self.publisher.close()
        self.ledger.close()
        self.engine.close()
        try:
            self.store.release()
        finally:
            self.lock.release()

    def complete(self) -> None:
        """The run came to its end: say so in the ledger and publish it; a second call does nothing."""
        if not self.is_complete:
            self.ledger.set_status(RunStatus.FINISHED)
            self.publish()
            write_init_script(self.root.parent)
            self.is_complete = True

    def publish(self) -> None:
        """Replace the ledger snapshot that readers open by what the ledger holds now, and the metrics with it."""
        self.publisher.publish_now()
        self._put_metrics()

    def publish_beside(self) -> None:
        """The same beside whatever comes next; what goes wrong is raised when it is next asked for."""
        self.publisher.begin()
        self._put_metrics()

    def _publish_ledger(self) -> None:
        self.ledger.publish(self.snapshot_path, lambda: self.stop.check(after_seconds=SNAPSHOT_SECONDS))
        self.store.put_file(SNAPSHOT)

    def _put_metrics(self) -> None:
        """Here and not in the publisher's thread: a file that grows while it is sent has no checksum."""
        if (self.root / METRICS).exists():
            self.store.put_file(METRICS)
        self.published_at = time.monotonic()

    def load_base(self, policy: Policy) -> None:
        """Put the base model's weights and fresh optimizers into the policy: version 0."""
        checkpoint.put_weights(policy.model, self.base_weights)
        for optimizer in policy.optimizers.values():
            optimizer.state.clear()

    def resume(self) -> tuple[int, PolicyVersion]:
        """(iteration, version) to go on from, with the method's state as it was; the start without a checkpoint."""
        place = checkpoint.newest(self.store)
        if place is None:
            return 0, self.base
        snapshot = checkpoint.read_snapshot(self.store, place)
        self.interleaving.restore(snapshot.interleaving)
        log.info("resuming from %s", place)
        return snapshot.iteration, snapshot.version

    def best_iteration(self) -> int | None:
        """The checkpoint with the highest mean among the evaluations in between; None before there is one."""
        means = {}
        for place in self.store.places("checkpoints"):
            iteration = int(Path(place).name)
            found = find(self.store, f"iterations/{iteration:05d}/evaluate", EvaluationRecord)
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


def require_fit(config: RunConfig, student: Student, questions: QuestionSet) -> None:
    """Raises ConfigError or DataError when prompts and completions cannot fit the model's context."""
    evaluated = (config.evaluation.max_tokens or 0) if config.evaluation else 0
    needed = config.policy.max_prompt_tokens + max(config.rollout.max_tokens, config.teacher.max_tokens, evaluated)
    if needed > student.context:
        raise ConfigError(
            f"policy.max_prompt_tokens + the longest of rollout, teacher and evaluation max_tokens is {needed} "
            f"tokens, but {student.model_name} has a context of {student.context}. Lower them, or use a model with a "
            f"longer context."
        )
    if not questions.training:
        raise DataError(f"no question's prompt fits policy.max_prompt_tokens={config.policy.max_prompt_tokens}")
    if config.evaluation and not (questions.held_out or questions.benchmarks):
        raise DataError(
            "no question is held out, so there is nothing to evaluate on. Raise questions.held_out_share, or switch "
            "the evaluation off with --set evaluation=off."
        )
