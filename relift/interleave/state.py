"""What ReLIFT carries from one iteration to the next beside the weights.

    hardest_and_control  ->  requests  ->  owes        which questions are hardest, and what teachers are asked for
    advance              ->  used                      what waits, and the batches that are ready to be taught

Each of these is a function of what the phases recorded, so a resumed run restores the state of its checkpoint and calls
them again. Nothing here knows a store, a model or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relift.config import RunConfig
from relift.interleave.buffer import BufferSnapshot, DemonstrationBuffer, Entry
from relift.interleave.gate import Gate, is_control
from relift.interleave.own_correct import OwnCorrect, OwnCorrectPool
from relift.interleave.probes import ProbeSchedule, ProbeSnapshot
from relift.interleave.rule import ReliftRule
from relift.records import Demonstration, RolloutGroup, UpdateReport


class Interleaving:
    """The method's state: what waits to be taught, what was taught, what teachers owe."""

    def __init__(self, config: RunConfig) -> None:
        sft = config.sft
        self._control_share = sft.control_share if sft else 0.0
        self._is_teaching = sft is not None
        self.gate = Gate(config.gate)
        self.rule = ReliftRule(sft)
        self.buffer = DemonstrationBuffer(config.buffer)
        self.own_correct = OwnCorrectPool(sft.own_correct_pool if sft else 1)
        self.probes = ProbeSchedule(config.probe if sft else None)
        self.demonstrations: dict[str, str] = {}
        """Texts of the demonstrations that wait, by id."""
        self.asked: tuple[str, ...] = ()
        """Ids of the questions that teachers still owe an answer, as of the last iteration that was sourced."""
        self.refused_in_a_row = 0
        """Updates without a step taken, for gradients that could not be used."""

    def hardest_and_control(self, groups: Iterable[RolloutGroup]) -> tuple[list[str], list[str]]:
        """Ids of the questions that the gate calls hardest, and of those among them that are never taught."""
        hardest = [group.question.id for group in groups if self.gate.is_hardest(group)]
        return hardest, [question for question in hardest if is_control(question, self._control_share)]

    def requests(self, hardest: Sequence[str], control: Sequence[str]) -> tuple[list[str], list[str]]:
        """Ids of the questions that teachers are to be asked for now: (to teach, controls to follow)."""
        if not self._is_teaching:
            return [], []
        untaught = set(control)
        wanted = [q for q in hardest if q not in untaught and not self.buffer.is_retired(q)]
        return wanted, [q for q in control if self.probes.is_wanted(q)]

    def is_probe_due(self, iteration: int) -> bool:
        return bool(self.probes.due(iteration))

    def owes(self, questions: Iterable[str]) -> None:
        """Teachers were asked; these questions are without an answer."""
        self.asked = tuple(questions)

    def advance(
        self, groups: Sequence[RolloutGroup], demonstrations: Iterable[Demonstration], iteration: int
    ) -> list[tuple[Entry, ...]]:
        """Let the iteration's demonstrations wait, those of controls aside, and take the batches that are ready.

        Nothing waits any more for a question that one of the groups solved.
        """
        self.own_correct.add(groups, iteration)
        for group in groups:
            if not group.is_unsolved:
                self.buffer.solved(group.question.id)
        for demonstration in demonstrations:
            if not demonstration.is_admitted:
                continue
            if is_control(demonstration.question_id, self._control_share):
                self.probes.withheld([demonstration.question_id])
            else:
                self.demonstrations[demonstration.id] = demonstration.text
                self.buffer.add(demonstration.question_id, demonstration.id, iteration)
        return self.rule.batches(self.buffer, iteration)

    def used(self, batches: Sequence[tuple[Entry, ...]], iteration: int) -> None:
        """The iteration's updates on these batches are committed: their entries leave."""
        for batch in batches:
            self.buffer.used(batch)
            for entry in batch:
                self.demonstrations.pop(entry.demonstration_id, None)
        if batches:
            self.probes.taught([entry.question_id for batch in batches for entry in batch], iteration)

    def count_refusals(self, reports: Iterable[UpdateReport]) -> None:
        """Of recorded updates, in their order; one without any signal says nothing either way."""
        for report in reports:
            if report.steps:
                self.refused_in_a_row = 0
            elif report.refused:
                self.refused_in_a_row += 1

    def to_json(self) -> dict[str, Any]:
        """Of the state between two iterations, for a checkpoint."""
        return {
            "buffer": self.buffer.snapshot().to_json(),
            "own_correct": [own.to_json() for own in self.own_correct.snapshot()],
            "probes": self.probes.snapshot().to_json(),
            "demonstrations": {
                e.demonstration_id: self.demonstrations[e.demonstration_id] for e in self.buffer.snapshot().waiting
            },
            "asked": list(self.asked),
            "refused_in_a_row": self.refused_in_a_row,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Become the state that the JSON was made of."""
        self.buffer.restore(BufferSnapshot.from_json(tree["buffer"]))
        self.own_correct.restore([OwnCorrect.from_json(own) for own in tree["own_correct"]])
        self.probes.restore(ProbeSnapshot.from_json(tree["probes"]))
        self.demonstrations = dict(tree["demonstrations"])
        self.asked = tuple(tree["asked"])
        self.refused_in_a_row = tree["refused_in_a_row"]
