"""Records as rows of the tables: one function a table, one dictionary a row, keys named as the columns of schema.sql.

The run is added by the writer. Texts are made storable: a lone surrogate, which UTF-8 cannot hold, becomes a question
mark.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import overload

from relift.records import (
    Demonstration,
    EvalResult,
    IterationReport,
    PolicyVersion,
    Purpose,
    Question,
    RolloutGroup,
    UpdateReport,
)

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A demonstration that one supervised update trained on, e.g. NLL 1.9 before and 0.4 after."""

    demonstration_id: str
    question_id: str
    nll_before: float | None = None
    """Mean over its tokens, in nats, under the policy before the update; None when it was not measured."""
    nll_after: float | None = None


def question_rows(questions: Sequence[Question], *, split: str, gold_status: str) -> list[Row]:
    return [
        {
            "question_id": question.id,
            "text": storable(question.text),
            "answer": storable(question.answer),
            "source": storable(question.source),
            "split": split,
            "gold_status": gold_status,
            "repeats": question.repeats,
        }
        for question in questions
    ]


def group_rows(
    iteration: int, groups: Sequence[RolloutGroup], *, hardest: Collection[str], control: Collection[str]
) -> list[Row]:
    return [
        {
            "iteration": iteration,
            "question_id": group.question.id,
            "is_hardest": group.question.id in hardest,
            "is_control": group.question.id in control,
        }
        for group in groups
    ]


def attempt_rows(iteration: int, groups: Sequence[RolloutGroup], *, purpose: Purpose) -> list[Row]:
    return [
        {
            "iteration": iteration,
            "question_id": group.question.id,
            "sample": rollout.sample,
            "purpose": purpose.value,
            "policy_version": rollout.completion.policy_version,
            "status": rollout.verdict.status.value,
            "reward": rollout.reward,
            "answer": storable(rollout.verdict.answer),
            "decided_by": rollout.verdict.path.value,
            "reason": storable(rollout.verdict.reason),
            "tokens": len(rollout.completion.token_ids),
            "finish_reason": rollout.completion.finish_reason.value,
            "seconds": rollout.verdict.seconds,
            "text": storable(rollout.completion.text) if group.is_unsolved else None,
        }
        for group in groups
        for rollout in group.rollouts
    ]


def demonstration_rows(iteration: int, demonstrations: Sequence[Demonstration]) -> list[Row]:
    return [
        {
            "iteration": iteration,
            "demonstration_id": demonstration.id,
            "question_id": demonstration.question_id,
            "source": storable(demonstration.source),
            "text": storable(demonstration.text),
            "tokens": demonstration.tokens,
            "cost_usd": demonstration.cost_usd,
            "latency_seconds": demonstration.latency_seconds,
            "refusal": storable(demonstration.refusal),
        }
        for demonstration in demonstrations
    ]


def update_row(iteration: int, report: UpdateReport, version: PolicyVersion) -> Row:
    return {
        "iteration": iteration,
        "version": version.number,
        "parent_version": version.parent,
        "checksum": version.checksum,
        **_fields(report),
        "kind": report.kind.value,
    }


def use_rows(iteration: int, version: PolicyVersion, uses: Sequence[Use]) -> list[Row]:
    return [{"iteration": iteration, "version": version.number, **_fields(use)} for use in uses]


def evaluation_rows(iteration: int, results: Sequence[EvalResult]) -> list[Row]:
    return [
        {**_fields(result), "iteration": iteration, "bands": dict(sorted(result.bands.items()))} for result in results
    ]


def iteration_row(report: IterationReport) -> Row:
    """Without its updates, which have a table of their own."""
    row = _fields(report)
    del row["updates"]
    return {
        **row,
        "statuses": {str(name): count for name, count in sorted(report.statuses.items())},
        "seconds": dict(sorted(report.seconds.items())),
    }


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: None) -> None: ...
def storable(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _fields(record: UpdateReport | Use | EvalResult | IterationReport) -> Row:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
