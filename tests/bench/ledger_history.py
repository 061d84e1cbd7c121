"""A long history of a run, as the records that a ledger is given: made up, with texts as long as real ones are.

Every 4 rollouts are a group. Of 1,000,000 attempts 72 % are training groups (one and a half epochs of the training
questions, the hardest ones taught), 20 % evaluations of the held-out ones and 8 % probes of what was taught.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from relift.ledger import EntryRecord, LeavingRecord, Ledger, Use
from relift.records import (
    Completion,
    Demonstration,
    EvalResult,
    FinishReason,
    IterationReport,
    PolicyVersion,
    Purpose,
    Question,
    Rollout,
    RolloutGroup,
    Status,
    TeacherAnswer,
    TeacherRequest,
    UpdateKind,
    UpdateReport,
    Verdict,
    demonstration_id,
    question_id,
)

G, PROBED, EVALUATIONS, TAUGHT_AT_ONCE = 4, 16, 10, 64
AFTER = (1, 5, 20)
WORDS = str.split(
    "let the number of integers such that we have then since therefore consider sum product value where each triangle "
    "circle radius equation polynomial root prime divides modulo remainder sequence term probability exactly ways "
    "choose point line segment angle equals area side length denote function maximum minimum real positive solution "
    "substitute simplify expand factor gives obtain hence thus implies condition case first second third final answer"
)
SYMBOLS = ("x^2", "\\frac{", "}", "\\sqrt{", "n+1", "\\cdot", "=", "\\le", "f(x)", "$a_n$", "\\pmod{", "\\boxed{")


@dataclass(slots=True, kw_only=True)
class History:
    """What the made-up run is made of; equal for an equal seed and size."""

    attempts: int
    run: str = "bench-0"
    seed: int = 0
    questions: list[Question] = field(default_factory=list)
    rng: random.Random = field(default_factory=random.Random)
    version: int = 0
    anchored: dict[int, list[Question]] = field(default_factory=dict)
    """Taught questions and controls by the iteration they are probed from."""
    difficulty: dict[str, float] = field(default_factory=dict)
    phrases: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    """Admitted demonstrations by question."""
    waiting: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Since when a known one waits again, as its question was hardest and no new one was admitted."""

    def __post_init__(self) -> None:
        self.rng.seed(self.seed)
        self.phrases = [self._phrase() for _ in range(20_000)]
        for number in range(self.attempts // 8):
            text = f"{number}: {self._text(self.rng.randint(200, 400))}"
            answer = str(self.rng.randint(0, 99_999))
            asked = Question(
                id=question_id(text), text=text, answer=answer, source=f"made-up/{self.rng.choice('abcdef')}"
            )
            self.questions.append(asked)
            self.difficulty[asked.id] = self.rng.betavariate(0.8, 0.8)  # of the untrained policy to solve it

    @property
    def training(self) -> list[Question]:
        return self.questions[len(self.questions) // 25 :]

    @property
    def held_out(self) -> list[Question]:
        return self.questions[: len(self.questions) // 25]

    @property
    def iterations(self) -> int:
        return max(self.attempts * 8 // 100 // (2 * PROBED * G), 4)

    def write(self, ledger: Ledger) -> None:
        """The whole of it, iteration by iteration."""
        for _ in self.steps(ledger):
            pass
        for question, (iteration, known) in self.waiting.items():
            entry = EntryRecord(question_id=question, demonstration_id=known)
            ledger.record_entries(f"{self.run}/entries/{question}", iteration, [entry])

    def steps(self, ledger: Ledger) -> Iterator[int]:
        """Write it; gives the number of each iteration that is written."""
        run = self.run
        ledger.record_run(f"{run}/run", "{}", "made-up", "0")
        ledger.record_questions(f"{run}/questions/train", self.training, "train")
        ledger.record_questions(f"{run}/questions/held_out", self.held_out, "held_out")
        order = [*self.training, *self.rng.sample(self.training, len(self.training) // 2)]
        size = -(-len(order) // self.iterations)
        for iteration in range(self.iterations):
            prefix = f"{run}/iterations/{iteration:05d}"
            if iteration % max(self.iterations // EVALUATIONS, 1) == 0:
                self._evaluate(ledger, prefix, iteration)
            batch = order[iteration * size : (iteration + 1) * size]
            if not batch:
                return
            self._iterate(ledger, prefix, iteration, batch)
            yield iteration

    def further(self, ledger: Ledger) -> Iterator[int]:
        """Iterations after ``steps``, as many as are asked for."""
        size = len(self.training) * 3 // 2 // self.iterations
        for iteration in itertools.count(self.iterations):
            self._iterate(
                ledger, f"{self.run}/iterations/{iteration:05d}", iteration, self.rng.sample(self.training, size)
            )
            yield iteration

    def _iterate(self, ledger: Ledger, prefix: str, iteration: int, batch: Sequence[Question]) -> None:
        groups = [self.group(asked) for asked in dict.fromkeys(batch)]
        hardest = [g.question for g in groups if g.count(Status.WRONG) == G]
        control = [asked.id for asked in hardest if int(asked.id, 16) % 10 == 0]
        ledger.record_attempts(
            f"{prefix}/record",
            iteration,
            groups,
            purpose=Purpose.TRAIN,
            hardest=[asked.id for asked in hardest],
            control=control,
        )
        due = {asked.id: asked for after in AFTER for asked in self.anchored.get(iteration - after, ())}
        if due:
            probed = [self.group(asked) for asked in self.rng.sample(list(due.values()), min(len(due), 2 * PROBED))]
            ledger.record_attempts(f"{prefix}/probe", iteration, probed, purpose=Purpose.PROBE)
        offered = [self.demonstration(asked) for asked in hardest if asked.id not in control]
        for one in offered[:2]:
            self._request(ledger, one)
        ledger.record_demonstrations(f"{prefix}/source", iteration, offered)
        self._update(ledger, f"{prefix}/rl_update/0", iteration, UpdateKind.RL, [])
        by_id = {asked.id: asked for asked in hardest}
        admitted = [one for one in offered if one.is_admitted]
        for one in offered:
            self.waiting.pop(one.question_id, None)
            if one.is_admitted:
                self.known[one.question_id] = one.id
            elif one.question_id in self.known:
                self.waiting[one.question_id] = iteration, self.known[one.question_id]
        if admitted[:TAUGHT_AT_ONCE]:
            self._update(ledger, f"{prefix}/sft_update/0", iteration, UpdateKind.SFT, admitted[:TAUGHT_AT_ONCE])
            self.anchored[iteration] = [by_id[question] for question in control]
            for one in admitted[:TAUGHT_AT_ONCE]:
                self.anchored[iteration].append(by_id[one.question_id])
                self.difficulty[one.question_id] += 0.3
        left = [
            LeavingRecord(question_id=one.question_id, demonstration_id=one.id, reason="evicted")
            for one in admitted[TAUGHT_AT_ONCE:]
        ]
        ledger.record_leavings(f"{prefix}/leavings", iteration, left)
        ledger.record_iteration(f"{prefix}/close", self._report(iteration, groups, len(hardest), len(admitted)))

    def _evaluate(self, ledger: Ledger, prefix: str, iteration: int) -> None:
        groups = [self.group(asked) for asked in self.held_out]
        ledger.record_attempts(f"{prefix}/evaluate/attempts", iteration, groups, purpose=Purpose.EVALUATION)
        share = sum(g.accuracy for g in groups) / max(len(groups), 1)
        result = EvalResult(
            benchmark="held out",
            version=self.version,
            iteration=iteration,
            questions=len(groups),
            k=G,
            avg_at_k=share,
            pass_at_k=share,
            low=share,
            high=share,
            bands={"hard": 1},
        )
        ledger.record_evaluations(f"{prefix}/evaluate", iteration, [result])

    def _update(
        self, ledger: Ledger, key: str, iteration: int, kind: UpdateKind, used: Sequence[Demonstration]
    ) -> None:
        self.version += 1
        made = PolicyVersion(
            number=self.version, checksum=f"c{self.version}", parent=self.version - 1, iteration=iteration, kind=kind
        )
        uses = [
            Use(demonstration_id=one.id, question_id=one.question_id, nll_before=2.0, nll_after=1.0 + 0.1 * number)
            for number, one in enumerate(used)
        ]
        report = UpdateReport(kind=kind, tokens=1000, sequences=len(used), steps=1, seconds=1.0)
        ledger.record_update(key, iteration, report, made, uses)

    def _request(self, ledger: Ledger, one: Demonstration) -> None:
        request = TeacherRequest(
            key=one.id, question_id=one.question_id, model="teacher", prompt=self._text(400), parameters="{}"
        )
        answer = TeacherAnswer(
            text=one.text, finish_reason=FinishReason.STOP, input_tokens=120, output_tokens=400, cost_usd=0.002
        )
        ledger.requests.sent(request, 0.01)
        ledger.requests.answered(request, answer, 0.01)

    def demonstration(self, asked: Question) -> Demonstration:
        text = self._text(1200)
        refusal = f"wrong: 1 is not {asked.answer}" if self.rng.random() < 0.2 else None
        source = self.rng.choice(("dataset", "api/strong", "api/cheap"))
        return Demonstration(
            id=demonstration_id(asked.id, text),
            question_id=asked.id,
            text=text,
            source=source,
            tokens=400,
            cost_usd=0.002,
            latency_seconds=3.0,
            refusal=refusal,
        )

    def group(self, asked: Question) -> RolloutGroup:
        solves = min(self.difficulty[asked.id] + 0.2 * self.version / (2 * self.iterations + 1), 0.98)
        return RolloutGroup(question=asked, rollouts=tuple(self._rollout(asked, n, solves) for n in range(G)))

    def _rollout(self, asked: Question, sample: int, solves: float) -> Rollout:
        rng = self.rng
        status = Status.CORRECT
        if rng.random() >= solves:
            (status,) = rng.choices((Status.WRONG, Status.TRUNCATED, Status.NO_ANSWER, Status.ERROR), (88, 8, 3, 1))
        answer = {Status.CORRECT: asked.answer, Status.WRONG: str(rng.randint(0, 999))}.get(status)
        tokens = rng.randint(200, 700)
        return Rollout(
            sample=sample,
            completion=Completion(
                token_ids=_TOKENS[tokens],
                logprobs=(),
                text=self._text(rng.randint(1000, 2000)),
                finish_reason=FinishReason.LENGTH if status is Status.TRUNCATED else FinishReason.STOP,
                policy_version=self.version,
            ),
            verdict=Verdict(status=status, answer=answer, seconds=rng.random() / 100),
            reward={Status.CORRECT: 1.0, Status.ERROR: None}.get(status, 0.0),
        )

    def _report(self, iteration: int, groups: Sequence[RolloutGroup], hardest: int, taught: int) -> IterationReport:
        statuses = {status.value: sum(g.count(status) for g in groups) for status in Status}
        rollouts = sum(statuses.values())
        return IterationReport(
            iteration=iteration,
            questions=len(groups),
            rollouts=rollouts,
            tokens=sum(len(r.completion.token_ids) for g in groups for r in g.rollouts),
            accuracy=statuses["correct"] / rollouts,
            statuses=statuses,
            unsolved=hardest,
            solved_all=sum(g.accuracy == 1 for g in groups),
            buffer=0,
            taught=min(taught, TAUGHT_AT_ONCE),
            updates=(),
            seconds={"rollout": 1.0},
        )

    def _phrase(self) -> str:
        rng = self.rng
        parts = [
            rng.choice(WORDS)
            if rng.random() < 0.7
            else rng.choice(SYMBOLS)
            if rng.random() < 0.5
            else str(rng.random())
            for _ in range(rng.randint(8, 14))
        ]
        return " ".join(parts)

    def _text(self, length: int) -> str:
        return " ".join(self.rng.choices(self.phrases, k=length // 65 + 1))[:length]


_TOKENS = {count: (0,) * count for count in range(200, 701)}
