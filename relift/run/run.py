"""A run while it is open: its configuration, its rooms, and what moves from iteration to iteration."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relift.config.resolved import Resolved
from relift.interleave import (
    BufferSnapshot,
    DemonstrationBuffer,
    Entry,
    Gate,
    OwnCorrect,
    OwnCorrectPool,
    ProbeSchedule,
    ProbeSnapshot,
    ReliftRule,
)
from relift.policy.engine import Engine
from relift.policy.policy import Policy
from relift.policy.student import Student
from relift.questions import QuestionOrder, QuestionSet
from relift.records import PolicyVersion
from relift.run import checkpoint
from relift.run.decoded import DecodedRollouts
from relift.run.session import Session

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Run(Session):
    """Everything the phases of one run need; ``open_run`` makes it."""

    resolved: Resolved
    fingerprint: str
    iterations: int
    questions: QuestionSet
    order: QuestionOrder
    student: Student
    policy: Policy
    engine: Engine
    base: PolicyVersion
    base_weights: Any
    gate: Gate
    rule: ReliftRule
    buffer: DemonstrationBuffer
    own_correct: OwnCorrectPool
    probes: ProbeSchedule
    demonstrations: dict[str, str] = dataclasses.field(default_factory=dict)
    """Text of the demonstrations that wait, by id."""
    asked: tuple[str, ...] = ()
    """Ids of the questions that teachers still owe an answer, as of the last iteration that was sourced."""
    told_trouble: str = ""
    """What was last said about teachers that do not answer."""
    refused_in_a_row: int = 0
    checked: bool = False
    """Whether the self-checks of engine and trainer have passed in this process."""
    decoded: DecodedRollouts = dataclasses.field(default_factory=DecodedRollouts)

    def __exit__(self, *exc: object) -> None:
        try:
            self.engine.close()
        finally:
            Session.__exit__(self, *exc)

    def load_base(self, policy: Policy) -> None:
        """Put the base model's weights and fresh optimizers into the policy: version 0."""
        checkpoint.put_weights(policy.model, self.base_weights)
        for optimizer in policy.optimizers.values():
            optimizer.state.clear()

    def resume(self) -> tuple[int, PolicyVersion]:
        """(iteration, version) to go on from, with buffer and pool as they were; the start without a checkpoint."""
        place = checkpoint.newest(self.store)
        if place is None:
            return 0, self.base
        snapshot = checkpoint.read_snapshot(self.store, place)
        self._restore_interleave(snapshot.interleave)
        log.info("resuming from %s", place)
        return snapshot.iteration, snapshot.version

    def is_probe_due(self, iteration: int) -> bool:
        return bool(self.probes.due(iteration))

    def buffer_used(self, batches: Sequence[tuple[Entry, ...]]) -> None:
        """The batches' updates are committed: their entries and texts leave."""
        for batch in batches:
            self.buffer.used(batch)
            for entry in batch:
                self.demonstrations.pop(entry.demonstration_id, None)

    def interleave_state(self) -> dict[str, Any]:
        """JSON of the buffer and the pool, for a checkpoint."""
        return {
            "buffer": self.buffer.snapshot().to_json(),
            "own_correct": [own.to_json() for own in self.own_correct.snapshot()],
            "demonstrations": {
                e.demonstration_id: self.demonstrations[e.demonstration_id] for e in self.buffer.waiting
            },
            "asked": list(self.asked),
            "probes": self.probes.snapshot().to_json(),
        }

    def _restore_interleave(self, state: dict[str, Any]) -> None:
        self.buffer.restore(BufferSnapshot.from_json(state["buffer"]))
        self.own_correct.restore([OwnCorrect.from_json(tree) for tree in state["own_correct"]])
        self.demonstrations.clear()
        self.demonstrations.update(state["demonstrations"])
        self.asked = tuple(state.get("asked", ()))
        if "probes" in state:
            self.probes.restore(ProbeSnapshot.from_json(state["probes"]))

    def best_iteration(self) -> int | None:
        """The checkpoint with the highest mean among the evaluations in between; None before there is one."""
        means = {}
        for place in self.store.places("checkpoints"):
            iteration = int(Path(place).name)
            manifest = self.store.manifest(f"iterations/{iteration:05d}/evaluate")
            if manifest is not None and not manifest.facts["full"]:
                means[iteration] = manifest.counts["mean"]
        return max(means, key=lambda i: (means[i], i)) if means else None

    def kind_of(self, benchmark: str) -> str:
        """Kind of an arithmetic family; empty for every other benchmark."""
        if self.config.questions.format != "arithmetic":
            return ""
        from relift.arithmetic.families import FAMILIES

        dataset, _, name = benchmark.partition("/")
        return FAMILIES[name].kind.value if dataset == "arithmetic" and name in FAMILIES else ""
