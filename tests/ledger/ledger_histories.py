"""Records for hand-made histories: small, and only what a test is about is named."""

from __future__ import annotations

from collections.abc import Sequence

from relift.records import (
    Completion,
    Demonstration,
    EvalResult,
    FinishReason,
    IterationReport,
    PolicyVersion,
    Question,
    Rollout,
    RolloutGroup,
    Status,
    UpdateKind,
    UpdateReport,
    Verdict,
    demonstration_id,
    question_id,
)

MARKS = {"+": Status.CORRECT, "-": Status.WRONG, "t": Status.TRUNCATED}


def question(text: str = "47*6?", answer: str = "282") -> Question:
    return Question(id=question_id(text), text=text, answer=answer, source="arithmetic/mul2")


def group(asked: Question, marks: str, *, version: int = 0, seconds: float = 0.0) -> RolloutGroup:
    """Marks are the statuses in order, e.g. ``"--+-"``; each completion's text is its mark and number."""
    return RolloutGroup(
        question=asked,
        rollouts=tuple(
            Rollout(
                sample=sample,
                completion=Completion(
                    token_ids=(5, 6, 1),
                    logprobs=(-0.5, -0.25, -0.125),
                    text=f"{mark}{sample}",
                    finish_reason=FinishReason.LENGTH if mark == "t" else FinishReason.STOP,
                    policy_version=version,
                ),
                verdict=Verdict(status=MARKS[mark], answer="282" if mark == "+" else None, seconds=seconds),
                reward=1.0 if mark == "+" else 0.0,
            )
            for sample, mark in enumerate(marks)
        ),
    )


def demonstration(asked: Question, *, text: str = "=282", refusal: str | None = None) -> Demonstration:
    return Demonstration(
        id=demonstration_id(asked.id, text),
        question_id=asked.id,
        text=text,
        source="dataset",
        tokens=5,
        refusal=refusal,
    )


def version(number: int, kind: UpdateKind = UpdateKind.SFT) -> PolicyVersion:
    return PolicyVersion(number=number, checksum=f"c{number}", parent=number - 1, iteration=0, kind=kind)


def update(kind: UpdateKind = UpdateKind.SFT, *, seconds: float = 0.0) -> UpdateReport:
    return UpdateReport(kind=kind, loss=0.5, tokens=5, sequences=1, nll_before=2.0, nll_after=1.0, seconds=seconds)


def evaluation(avg: float, *, number: int = 0) -> EvalResult:
    return EvalResult(
        benchmark="mul2",
        version=number,
        iteration=0,
        questions=4,
        k=1,
        avg_at_k=avg,
        pass_at_k=avg,
        low=avg,
        high=avg,
        kind="unreached",
        bands={"hard": 3, "easy": 1},
    )


def iteration(number: int, *, seconds: float = 0.0, updates: Sequence[UpdateReport] = ()) -> IterationReport:
    return IterationReport(
        iteration=number,
        questions=1,
        rollouts=4,
        tokens=12,
        accuracy=0.25,
        statuses={Status.WRONG: 3, Status.CORRECT: 1},
        unsolved=0,
        solved_all=0,
        buffer=2,
        taught=0,
        updates=tuple(updates),
        seconds={"rollout": seconds, "verify": seconds},
    )
