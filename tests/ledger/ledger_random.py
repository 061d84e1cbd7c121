"""Random histories of runs, written through the real ledger and kept beside it as plain lists to count again.

A history follows the order of an iteration: evaluate, probe, sample, update by RL, ask teachers, let demonstrations
wait and leave, teach. Its buffer is kept here as it goes, so that who waits is not derived from what was written.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ledger_histories import demonstration, group, question, update, version

from relift.ledger import EntryRecord, LeavingRecord, Ledger, Use
from relift.records import FinishReason, Purpose, Question, TeacherAnswer, TeacherRequest, UpdateKind

AFTER = (1, 2, 4)
"""Distances of probes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    iteration: int
    purpose: Purpose
    question: str
    version: int
    rollouts: int
    correct: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.rollouts


@dataclass(slots=True, kw_only=True)
class History:
    """What happened in one run."""

    run: str
    rng: random.Random
    version: int = 0
    training: list[Question] = field(default_factory=list)
    held_out: list[Question] = field(default_factory=list)
    control: set[str] = field(default_factory=set)
    sampled: list[Sampled] = field(default_factory=list)
    hardest: dict[str, list[int]] = field(default_factory=dict)
    """Iterations in which the gate called a question hardest."""
    admitted: dict[str, str] = field(default_factory=dict)
    """Demonstration by question."""
    admitted_at: dict[str, int] = field(default_factory=dict)
    """Iteration of that, by question."""
    refused: set[str] = field(default_factory=set)
    asked: dict[str, bool] = field(default_factory=dict)
    """Whether the teacher owes an answer, by question."""
    answered: set[str] = field(default_factory=set)
    waiting: list[str] = field(default_factory=list)
    taught: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """(iteration, version) of each use."""
    retired: set[str] = field(default_factory=set)
    supervised: list[int] = field(default_factory=list)
    """Iterations with a supervised update."""

    def of(self, question_id: str) -> list[Sampled]:
        return [one for one in self.sampled if one.question == question_id]

    def anchor(self, question_id: str) -> int | None:
        """Where its probes are counted from; None while there is nothing to count from."""
        if question_id in self.taught:
            return self.taught[question_id][0][0]
        if question_id in self.control and question_id in self.hardest:
            since = max(self.hardest[question_id][0], self.admitted_at.get(question_id, 0))
            later = [at for at in self.supervised if at >= since]
            return later[0] if later else None
        return None


def write_histories(path: Path, seeds: Iterable[int]) -> list[History]:
    """Runs in one ledger, one after another; opening it for each would take longer than writing them."""
    found = []
    with Ledger.open(path, "") as ledger:
        for seed in seeds:
            ledger.run = f"run-{seed}"
            found.append(write_history(ledger, seed))
    return found


def write_history(ledger: Ledger, seed: int) -> History:
    rng = random.Random(seed)
    told = History(run=ledger.run, rng=rng)
    told.training = [question(f"{seed}: train {n}") for n in range(rng.randint(8, 40))]
    sources = ("gsm8k", "math/algebra")
    told.training = [dataclasses.replace(asked, source=rng.choice(sources)) for asked in told.training]
    told.held_out = [question(f"{seed}: held out {n}") for n in range(rng.randint(3, 8))]
    told.control = {asked.id for asked in told.training if rng.random() < 0.3}
    ledger.record_run(f"{told.run}/run", "{}", rng.choice(("small", "large")), "0")
    ledger.record_questions(f"{told.run}/train", told.training, "train")
    ledger.record_questions(f"{told.run}/held_out", told.held_out, "held_out")
    last = rng.randint(3, 5)
    for iteration in range(last + 1):
        _Iteration(ledger, told, iteration, is_end=iteration in (0, last)).live()
    return told


@dataclass(slots=True)
class _Iteration:
    ledger: Ledger
    told: History
    number: int
    is_end: bool

    def live(self) -> None:
        rng = self.told.rng
        if self.is_end or rng.random() < 0.15:
            self._evaluate()
        self._probe()
        solved, hardest = self._sample()
        if rng.random() < 0.8:
            self.told.version += 1
        if rng.random() < 0.1:  # not a supervised one, so nothing is anchored at it
            made = version(self.told.version, UpdateKind.RL)
            self.ledger.record_update(self._key("rl"), self.number, update(UpdateKind.RL), made)
        left = [(one, "solved_meanwhile") for one in self.told.waiting if one in solved]
        self.told.waiting = [one for one in self.told.waiting if one not in solved]
        before = set(self.told.waiting)
        self._ask(hardest)
        for reason in ("expired", "evicted"):
            if self.told.waiting and rng.random() < 0.1:
                left.append((self.told.waiting.pop(0), reason))
        entered = [
            EntryRecord(question_id=q, demonstration_id=self.told.admitted[q])
            for q in self.told.waiting if q not in before
        ]  # fmt: skip
        self.ledger.record_entries(self._key("entries"), self.number, entered)
        self._teach(left)
        if left:
            gone = [LeavingRecord(question_id=q, demonstration_id=self.told.admitted[q], reason=why) for q, why in left]
            self.ledger.record_leavings(self._key("leavings"), self.number, gone)

    def _evaluate(self) -> None:
        some = self.told.held_out if self.is_end else self.told.held_out[:3]
        self._record(Purpose.EVALUATION, some, (1, 4, 8))
        if self.told.rng.random() < 0.6:
            self._record(Purpose.CONFIRM, some, (4, 8))

    def _probe(self) -> None:
        due = []
        for asked in self.told.training:
            anchor = self.told.anchor(asked.id)
            is_due = anchor is not None and self.number - anchor in AFTER
            # A stray probe of a question that nothing was done to must count for its state, and not for the lift.
            if is_due or (anchor is None and self.told.rng.random() < 0.05):
                due.append(asked)
        if due:
            self._record(Purpose.PROBE, due, (2, 8))

    def _sample(self) -> tuple[set[str], list[Question]]:
        rng = self.told.rng
        batch = [asked for asked in self.told.training if rng.random() < 0.6]
        if not batch:
            return set(), []
        before = len(self.told.sampled)
        size, rate = rng.choice((2, 8)), rng.choice((0.02, 0.1, 0.3))
        groups = [self._group(asked, size, rate) for asked in batch]
        for one in groups:
            self._tell(one, Purpose.TRAIN)
        hardest = [one.question for one in groups if one.is_unsolved and rng.random() < 0.9]
        for one in hardest:
            self.told.hardest.setdefault(one.id, []).append(self.number)
        ids = [one.id for one in hardest]
        self.ledger.record_attempts(
            self._key("record"),
            self.number,
            groups,
            purpose=Purpose.TRAIN,
            hardest=ids,
            control=[one for one in ids if one in self.told.control],
        )
        return {one.question for one in self.told.sampled[before:] if one.correct}, hardest

    def _ask(self, hardest: list[Question]) -> None:
        """A known demonstration waits again at once; else the teacher is asked, and may answer now, later or never."""
        offered = []
        for asked in hardest:
            if asked.id in self.told.admitted:
                self._wait(asked.id)
                continue
            fate = self.told.rng.choice(("nobody", "owed", "failed", "refused", "admitted", "admitted"))
            if fate == "nobody":
                continue
            if (
                fate in ("owed", "failed") or self.told.rng.random() < 0.2
            ):  # else from the dataset, which no request asks
                self._request(asked, fate)
            if fate == "refused":
                self.told.refused.add(asked.id)
                offered.append(demonstration(asked, text="=281", refusal="wrong: 281 is not 282"))
            if fate == "admitted":
                offered.append(demonstration(asked))
                self.told.admitted[asked.id] = offered[-1].id
                self.told.admitted_at[asked.id] = self.number
                self._wait(asked.id)
        if offered:
            self.ledger.record_demonstrations(self._key("source"), self.number, offered)

    def _request(self, asked: Question, fate: str) -> None:
        request = TeacherRequest(key=f"{asked.id}/1", question_id=asked.id, model="big", prompt="[]", parameters="{}")
        if self.told.asked.get(asked.id) is False:
            return
        self.ledger.requests.sent(request, 0.02)
        self.told.asked[asked.id] = fate == "owed"
        if fate == "failed":
            self.ledger.requests.failed(request, "no answer", 0.02)
        elif fate != "owed":
            answer = TeacherAnswer(text="282", finish_reason=FinishReason.STOP, input_tokens=1, output_tokens=1)
            self.ledger.requests.answered(request, answer, 0.02)
            self.told.answered.add(asked.id)

    def _wait(self, question_id: str) -> None:
        if question_id not in {*self.told.waiting, *self.told.retired, *self.told.control}:
            self.told.waiting.append(question_id)

    def _teach(self, left: list[tuple[str, str]]) -> None:
        size = self.told.rng.choice((1, 2, 3))
        if len(self.told.waiting) < size:
            return
        batch, self.told.waiting = self.told.waiting[:size], self.told.waiting[size:]
        self.told.version += 1
        uses = [
            Use(demonstration_id=self.told.admitted[q], question_id=q, nll_before=2.0, nll_after=0.5) for q in batch
        ]
        self.ledger.record_update(self._key("sft"), self.number, update(), version(self.told.version), uses)
        self.told.supervised.append(self.number)
        for one in batch:
            self.told.taught.setdefault(one, []).append((self.number, self.told.version))
            if len(self.told.taught[one]) == 2:
                self.told.retired.add(one)
                left.append((one, "retired"))

    def _record(self, purpose: Purpose, asked: list[Question], sizes: tuple[int, ...]) -> None:
        size = self.told.rng.choice(sizes)
        groups = [self._group(one, size, self.told.rng.random()) for one in asked]
        for one in groups:
            self._tell(one, purpose)
        self.ledger.record_attempts(self._key(purpose.value), self.number, groups, purpose=purpose)

    def _group(self, asked: Question, size: int, rate: float):
        marks = "".join("+" if self.told.rng.random() < rate else "-" for _ in range(size))
        return group(asked, marks, version=self.told.version)

    def _tell(self, made, purpose: Purpose) -> None:
        self.told.sampled.append(
            Sampled(
                iteration=self.number,
                purpose=purpose,
                question=made.question.id,
                version=self.told.version,
                rollouts=len(made.rollouts),
                correct=sum(one.is_correct for one in made.rollouts),
            )
        )

    def _key(self, phase: str) -> str:
        return f"{self.told.run}/{self.number}/{phase}"
