"""Records as rows of the tables: one function a table, one dictionary a row, keys named as the columns of schema.sql;
attempts by column.

The run is added by the writer. Texts are made storable: a lone surrogate, which UTF-8 cannot hold, becomes a question
mark.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

from relift.records import (
    Demonstration,
    EvalResult,
    IterationReport,
    PolicyVersion,
    Purpose,
    Question,
    RewardStatus,
    Rollout,
    RolloutGroup,
    Status,
    UpdateKind,
    UpdateReport,
)

Row = dict[str, object]
_METRIC_COLUMNS = ("entropy", "clip_fraction", "kl", "correction_mean", "bounded_fraction")
Columns = dict[str, list[object]]
"""The same for many rows: the values of each column, all as long as each other."""


class RunStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class GoldStatus(StrEnum):
    OK = "ok"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A demonstration that one update trained on, e.g. NLL 1.9 before and 0.4 after."""

    demonstration_id: str
    question_id: str
    nll_before: float | None = None
    """Mean over its tokens, in nats, under the policy before the update; None when it was not measured."""
    nll_after: float | None = None
    prefix_tokens: int | None = None
    """Of a demonstration that was not trained on: so many of its tokens were given before what was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateWord:
    """What the gate said of an iteration's groups, as question ids."""

    hardest: frozenset[str]
    control: frozenset[str]
    """Those of them that are never taught."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRecord:
    """A demonstration that came into the buffer, which the ledger does not know."""

    question_id: str
    demonstration_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingRecord(EntryRecord):
    """A ``LeavingEvent`` of the buffer, e.g. reason ``"expired"``."""

    reason: str


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


def group_rows(iteration: int, groups: Sequence[RolloutGroup], *, purpose: Purpose, gate: GateWord | None) -> list[Row]:
    return [
        {
            "iteration": iteration,
            "purpose": purpose.value,
            "question_id": group.question.id,
            "policy_version": min(rollout.completion.policy_version for rollout in group.rollouts),
            "rollouts": len(group.rollouts),
            "correct": group.count(Status.CORRECT),
            "graded": sum(rollout.reward is not None for rollout in group.rollouts),
            "tokens": sum(len(rollout.completion.token_ids) for rollout in group.rollouts),
            "is_hardest": None if gate is None else group.question.id in gate.hardest,
            "is_control": None if gate is None else group.question.id in gate.control,
        }
        for group in groups
    ]


def attempt_columns(iteration: int, groups: Sequence[RolloutGroup], *, purpose: Purpose) -> Columns:
    """By column, as there are more of these than of all else together."""
    of_groups = [(group.question.id, group.is_unsolved, rollout) for group in groups for rollout in group.rollouts]
    rollouts = [rollout for *_, rollout in of_groups]
    completions = [rollout.completion for rollout in rollouts]
    verdicts = [rollout.verdict for rollout in rollouts]
    return {
        "iteration": [iteration] * len(rollouts),
        "question_id": [question for question, *_ in of_groups],
        "sample": [rollout.sample for rollout in rollouts],
        "purpose": [purpose.value] * len(rollouts),
        "policy_version": [completion.policy_version for completion in completions],
        "status": [verdict.status.value for verdict in verdicts],
        "reward": [rollout.reward for rollout in rollouts],
        "answer": [storable(verdict.answer) for verdict in verdicts],
        "decided_by": [verdict.path.value for verdict in verdicts],
        "reason": [storable(verdict.reason) for verdict in verdicts],
        "tokens": [len(completion.token_ids) for completion in completions],
        "finish_reason": [completion.finish_reason.value for completion in completions],
        "seconds": [verdict.seconds for verdict in verdicts],
        "text": [storable(rollout.completion.text) if unsolved else None for _, unsolved, rollout in of_groups],
    }


def reward_part_rows(iteration: int, groups: Sequence[RolloutGroup], *, purpose: Purpose) -> list[Row]:
    return [
        {**_attempt_key(iteration, group, rollout, purpose), "name": storable(name), "value": value}
        for group in groups
        for rollout in group.rollouts
        for name, value in rollout.reward_parts
    ]


def reward_failure_rows(iteration: int, groups: Sequence[RolloutGroup], *, purpose: Purpose) -> list[Row]:
    return [
        {
            **_attempt_key(iteration, group, rollout, purpose),
            "status": rollout.reward_status.value,
            "reason": storable(rollout.reward_reason),
        }
        for group in groups
        for rollout in group.rollouts
        if rollout.reward_status not in (None, RewardStatus.GIVEN)
    ]


def _attempt_key(iteration: int, group: RolloutGroup, rollout: Rollout, purpose: Purpose) -> Row:
    return {
        "iteration": iteration,
        "question_id": group.question.id,
        "sample": rollout.sample,
        "purpose": purpose.value,
    }


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
            "kind": demonstration.kind.value,
        }
        for demonstration in demonstrations
    ]


def update_row(iteration: int, report: UpdateReport, version: PolicyVersion) -> Row:
    """Metrics of relift's own losses have columns, 0 for what was off."""
    metrics = report.metrics
    return {
        "iteration": iteration,
        "version": version.number,
        "parent_version": version.parent,
        "checksum": version.checksum,
        **_fields(report),
        **{name: metrics.get(name, 0.0) for name in _METRIC_COLUMNS},
        "metrics": {name: metrics[name] for name in sorted(metrics) if name not in _METRIC_COLUMNS},
        "kind": report.kind.value,
    }


def use_rows(iteration: int, kind: UpdateKind, version: PolicyVersion, uses: Sequence[Use]) -> list[Row]:
    return [{"iteration": iteration, "kind": kind.value, "version": version.number, **_fields(use)} for use in uses]


def buffer_rows(iteration: int, moved: Sequence[EntryRecord]) -> list[Row]:
    return [{"iteration": iteration, **_fields(one)} for one in moved]


def evaluation_rows(iteration: int, results: Sequence[EvalResult]) -> list[Row]:
    return [
        {**_fields(result), "iteration": iteration, "bands": dict(sorted(result.bands.items()))} for result in results
    ]


def iteration_row(report: IterationReport) -> Row:
    """Without its updates and rewards, which have tables of their own, what its attempts say of signal, and what the
    run had spent by then."""
    row = _fields(report)
    del row["updates"], row["rewards"], row["signal"], row["spent"]
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


def columns_of(rows: Sequence[Row]) -> Columns:
    """Rows with the same keys by column."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _fields(record: UpdateReport | Use | EntryRecord | EvalResult | IterationReport) -> Row:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
