"""What the method carries from one iteration to the next beside the weights.

    prompts  ->  decide  ->  owes          what is asked beside the batch, what the gate says of it, what teachers owe
    fates                                  what becomes of its groups in the RL update
    trials                                 what is to be continued, before anything of the state moves
    advance  ->  used                      what waits, and the batches that are ready to be taught

Each of these is a function of what the phases recorded, so a resumed run restores the state of its checkpoint and calls
them again. Nothing here knows a store, a model or a clock.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from relift.config import RunConfig
from relift.interleave.answers import Answers, Encode, EncodePartial, Target
from relift.interleave.batch import Batch, Decision, Taught
from relift.interleave.buffer import BufferSnapshot, DemonstrationBuffer, Entry
from relift.interleave.fates import Fates
from relift.interleave.gate import Gate, is_control
from relift.interleave.own_correct import OwnCorrect, OwnCorrectPool
from relift.interleave.probes import ProbeSchedule, ProbeSnapshot
from relift.interleave.rehearsal import RehearsalPool
from relift.interleave.rule import Lesson, Moment, Rule, state_of
from relift.records import Demonstration, DemonstrationKind, Prefix, UpdateReport


class Interleaving:
    """The method's state: what waits to be taught, what was taught, what teachers owe."""

    def __init__(self, config: RunConfig, *, known: Container[str], rule: Rule) -> None:
        """``known``: ids of the training questions."""
        self._seed = config.seed
        self._control_share = config.teach.control_share
        self._has_updates = config.sft is not None
        self._is_followed = config.teaches
        self._buffer_config = config.buffer
        self.gate = Gate(config.gate)
        self.taught: dict[str, str] = {}
        """Questions by the ids of the demonstrations that were taught, joined or guided by, in that order."""
        self.rule = Answers(
            rule=rule,
            name=config.teach.rule.kind,
            known=known,
            is_control=self.is_control,
            taught=self.taught,
            most_taught=config.budget.demonstrations,
        )
        self.buffer = DemonstrationBuffer(config.buffer)
        self.own_correct = OwnCorrectPool(config.sft.own_correct_pool if config.sft else 1)
        self.rehearsal = RehearsalPool(
            draws=config.sft.rehearse if config.sft else 0, capacity=config.sft.rehearse_pool if config.sft else 1
        )
        self.probes = ProbeSchedule(config.probe if config.teaches else None)
        self.demonstrations: dict[str, str] = {}
        """Texts of the demonstrations that wait, by id."""
        self.asked: tuple[str, ...] = ()
        """Ids of the questions that teachers still owe an answer, as of the last iteration that was sourced."""
        self.mistakes: dict[str, str] = {}
        """Wrong completions with which some of these were asked."""
        self.interventions: set[str] = set()
        """Ids of the demonstrations that wait and are no solutions."""
        self.refused_in_a_row = 0
        """Updates without a step taken, for gradients that could not be used."""

    def is_control(self, question: str) -> bool:
        return is_control(question, self._control_share)

    def prompts(self, iteration: int, questions: Sequence[str], encode: Encode, progress: float) -> list[Prefix]:
        """What is to be sampled beside a batch of questions."""
        return self.rule.prompts(self._moment(iteration, questions, progress), encode)

    def decide(self, batch: Batch) -> Decision:
        """What the gate says of a batch, and what teachers are asked for."""
        hardest = [group.question.id for group in batch.groups if self.gate.is_hardest(group)]
        control = [question for question in hardest if self.is_control(question)]
        moment = self._moment_of(batch, hardest)
        wanted = tuple(q for q in self.rule.requests(moment) if not self.buffer.is_retired(q))
        followed = tuple(q for q in control if self._is_followed and self.probes.is_wanted(q))
        return Decision(
            hardest=tuple(hardest),
            control=tuple(control),
            wanted=wanted,
            followed=followed,
            mistakes=tuple(self.rule.mistakes(moment, {*wanted, *followed})),
        )

    @property
    def needs_demonstrations_first(self) -> bool:
        return self.rule.rule.needs_demonstrations_first

    def fates(
        self, batch: Batch, decision: Decision, demonstrations: Iterable[Demonstration], encode: Encode
    ) -> tuple[Fates, list[Lesson]]:
        """What becomes of the groups in the RL update, and what it is to teach; it changes nothing of the state.

        ``demonstrations`` are the iteration's, of a rule that needs them first, and none of any other.
        """
        arrived = self._teachable(demonstrations)
        buffer = DemonstrationBuffer(self._buffer_config, self.buffer.snapshot())
        _add(buffer, arrived, batch.iteration)
        waiting = self._lessons(buffer, arrived)
        fates = self.rule.groups(replace(self._moment_of(batch, decision.hardest), waiting=waiting), encode)
        return fates, [waiting[question] for question in fates.taught]

    @property
    def has_trials(self) -> bool:
        return type(self.rule.rule).trials is not Rule.trials

    def trials(
        self, batch: Batch, decision: Decision, demonstrations: Iterable[Demonstration], encode: Encode
    ) -> list[Prefix]:
        """What the rule wants continued, with the batch's ``trials`` so far; asked before ``advance``, which it changes
        nothing of, and with all that will wait there."""
        arrived = self._teachable(demonstrations)
        buffer = DemonstrationBuffer(self._buffer_config, self.buffer.snapshot())
        self._let_wait(buffer, batch, arrived)
        moment = replace(self._moment_of(batch, decision.hardest), waiting=self._lessons(buffer, arrived))
        return self.rule.trials(moment, encode)

    def is_probe_due(self, iteration: int) -> bool:
        return bool(self.probes.due(iteration))

    def mistakes_of(self, decision: Decision) -> dict[str, str]:
        """Wrong completions by question: those of the decision, but for what is asked already."""
        return {**dict(decision.mistakes), **self.mistakes}

    def owes(self, questions: Iterable[str], decision: Decision) -> None:
        """Teachers were asked; these questions are without an answer."""
        self.asked = tuple(questions)
        self.mistakes = {q: text for q, text in self.mistakes_of(decision).items() if q in self.asked}

    def advance(
        self, batch: Batch, decision: Decision, demonstrations: Iterable[Demonstration], encode: EncodePartial
    ) -> list[tuple[Taught, ...]]:
        """Let the iteration's demonstrations wait, those of controls aside, and take the batches that are ready.

        What the RL update taught waits no more, nor does anything for a question that a group solved; what it guided by
        waits until then.
        ``encode`` is for the parts of solutions that the rule gives in place of demonstrations.
        """
        demonstrations, prefixes = tuple(demonstrations), [found.prefix for found in batch.guided]
        self.own_correct.add(batch.groups, batch.iteration)
        guided = {whose: p.question_id for p in prefixes if (whose := p.demonstration_id) in batch.used and whose}
        self.taught.update(guided)
        self.probes.withheld(d.question_id for d in demonstrations if d.is_admitted and self.is_control(d.question_id))
        arrived = self._teachable(demonstrations)
        self.demonstrations |= {d.id: d.text for d in arrived}
        self.interventions |= _interventions(arrived)
        if taught := self._let_wait(self.buffer, batch, arrived):
            self._taught(taught, batch.iteration)
        if guided:
            self.probes.taught([*guided.values()], batch.iteration)
        moment = self._moment_of(batch, decision.hardest)
        self.rule.advance(moment)
        return [self._take(batch) for batch in self.rule.batches(moment, encode)] if self._has_updates else []

    def used(self, batches: Sequence[tuple[Taught, ...]], iteration: int) -> None:
        """The iteration's updates on these batches are committed: their entries leave."""
        for batch in batches:
            self.buffer.used(taught.entry for taught in batch)
            whole = [taught.entry for taught in batch if taught.partial_ids is None]
            self.rehearsal.add(
                (e.question_id, e.demonstration_id, self.demonstrations[e.demonstration_id]) for e in whole
            )
            self._taught((taught.entry for taught in batch), iteration)

    def _taught(self, entries: Iterable[Entry], iteration: int) -> None:
        """Their questions are followed from here on."""
        entries = tuple(entries)
        self.taught.update({entry.demonstration_id: entry.question_id for entry in entries})
        for entry in entries:
            self.demonstrations.pop(entry.demonstration_id, None)
            self.interventions.discard(entry.demonstration_id)
        self.probes.taught([entry.question_id for entry in entries], iteration)

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
            "rule": state_of(self.rule.rule, self.rule.name),
            "buffer": self.buffer.snapshot().to_json(),
            "own_correct": [own.to_json() for own in self.own_correct.snapshot()],
            "rehearsal": self.rehearsal.to_json(),
            "probes": self.probes.snapshot().to_json(),
            "demonstrations": {
                e.demonstration_id: self.demonstrations[e.demonstration_id] for e in self.buffer.snapshot().waiting
            },
            "taught": dict(self.taught),
            "interventions": [
                e.demonstration_id for e in self.buffer.snapshot().waiting if e.demonstration_id in self.interventions
            ],
            "asked": list(self.asked),
            "mistakes": self.mistakes,
            "refused_in_a_row": self.refused_in_a_row,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Become the state that the JSON was made of."""
        self.rule.rule.restore(tree["rule"])
        self.buffer.restore(BufferSnapshot.from_json(tree["buffer"]))
        self.own_correct.restore([OwnCorrect.from_json(own) for own in tree["own_correct"]])
        self.rehearsal.restore(tree["rehearsal"])
        self.probes.restore(ProbeSnapshot.from_json(tree["probes"]))
        self.demonstrations = dict(tree["demonstrations"])
        self.taught.clear()  # the same dict, since the answers are checked by it
        self.taught.update(tree["taught"])
        self.interventions = set(tree.get("interventions", ()))
        self.asked = tuple(tree["asked"])
        self.mistakes = dict(tree.get("mistakes", {}))
        self.refused_in_a_row = tree["refused_in_a_row"]

    def _take(self, targets: Iterable[Target]) -> tuple[Taught, ...]:
        ids = dict(targets)
        return tuple(Taught(entry=entry, partial_ids=ids[entry.question_id]) for entry in self.buffer.take(ids))

    def _moment_of(self, batch: Batch, hardest: Iterable[str]) -> Moment:
        before = self._moment(batch.iteration, [group.question.id for group in batch.groups], batch.progress)
        teachable = tuple(question for question in hardest if not self.is_control(question))
        groups, guided, trials = tuple(batch.groups), tuple(batch.guided), tuple(batch.trials)
        twice = tuple(found.prefix.question_id for found in batch.asked_twice)
        return replace(before, groups=groups, guided=guided, asked_twice=twice, trials=trials, hardest=teachable)

    def _moment(self, iteration: int, questions: Sequence[str], progress: float) -> Moment:
        return Moment(
            iteration=iteration,
            seed=self._seed,
            questions=tuple(questions),
            waiting=self._lessons(self.buffer),
            progress=progress,
            teachable=tuple(question for question in questions if not self.is_control(question)),
        )

    def _let_wait(
        self, buffer: DemonstrationBuffer, batch: Batch, arrived: Iterable[Demonstration]
    ) -> tuple[Entry, ...]:
        """What an iteration does to the buffer before its supervised updates; what the RL update taught, which waits no
        more. Of the groups beside the batch those solve a question of which the rule says whose guidance ends there."""
        if self.needs_demonstrations_first:
            _add(buffer, arrived, batch.iteration)
        taught = buffer.take(dict.fromkeys(batch.fates.taught))
        beside = [found.group for found in batch.guided if not found.is_guided and found.prefix.demonstration_id]
        for group in (*batch.groups, *beside):
            if not group.is_unsolved:
                buffer.solved(group.question.id)
        if not self.needs_demonstrations_first:
            _add(buffer, arrived, batch.iteration)
        buffer.used(taught)
        buffer.expire(batch.iteration)
        return taught

    def _lessons(self, buffer: DemonstrationBuffer, arrived: Sequence[Demonstration] = ()) -> dict[str, Lesson]:
        """What waits in a buffer, some of which has just ``arrived``, by question id."""
        texts = self.demonstrations | {d.id: d.text for d in arrived}
        interventions = self.interventions | _interventions(arrived)
        return {
            entry.question_id: Lesson(
                question_id=entry.question_id,
                demonstration_id=entry.demonstration_id,
                text=texts[entry.demonstration_id],
                is_intervention=entry.demonstration_id in interventions,
                first_iteration=entry.first_iteration,
                failures=entry.failures,
            )
            for entry in buffer.waiting
        }

    def _teachable(self, demonstrations: Iterable[Demonstration]) -> list[Demonstration]:
        return [d for d in demonstrations if d.is_admitted and not self.is_control(d.question_id)]


def _add(buffer: DemonstrationBuffer, arrived: Iterable[Demonstration], iteration: int) -> None:
    for demonstration in arrived:
        buffer.add(demonstration.question_id, demonstration.id, iteration)


def _interventions(demonstrations: Iterable[Demonstration]) -> set[str]:
    return {d.id for d in demonstrations if d.kind is DemonstrationKind.INTERVENTION}
