"""Recorded phases as Parquet: one row per rollout, verdict, demonstration or training sequence."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from relift.ledger.rows import storable
from relift.records import (
    Completion,
    DecidedBy,
    Demonstration,
    DemonstrationKind,
    FinishReason,
    Question,
    Rewarded,
    RewardStatus,
    Rollout,
    RolloutGroup,
    Status,
    TrainingSequence,
    Verdict,
)

ROLLOUTS = pa.schema(
    [
        ("question_id", pa.string()),
        ("sample", pa.int32()),
        ("policy_version", pa.int64()),
        ("finish_reason", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        # Sampled in float32, so float32 loses nothing and a replay sees the same numbers.
        ("logprobs", pa.list_(pa.float32())),
        ("text", pa.string()),
    ]
)
VERDICTS = pa.schema(
    [
        ("question_id", pa.string()),
        ("sample", pa.int32()),
        ("status", pa.string()),
        ("answer", pa.string()),
        ("path", pa.string()),
        ("reason", pa.string()),
        ("seconds", pa.float64()),
        ("reward", pa.float64()),
    ]
)
OWN_REWARDS = pa.schema(
    [
        *VERDICTS,
        ("reward_status", pa.string()),
        ("reward_reason", pa.string()),
        ("reward_parts", pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))),
    ]
)
"""Of verdicts whose rewards are one's own: without them the file is as it always was."""
DEMONSTRATIONS = pa.schema(
    [
        ("id", pa.string()),
        ("question_id", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("tokens", pa.int32()),
        ("cost_usd", pa.float64()),
        ("latency_seconds", pa.float64()),
        ("refusal", pa.string()),
        ("kind", pa.string()),
    ]
)
SEQUENCES = pa.schema(
    [
        ("update", pa.int32()),
        ("role", pa.string()),
        ("demonstration_id", pa.string()),
        ("question_id", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("loss_mask", pa.list_(pa.int8())),
    ]
)


def to_parquet(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def rollouts_to_parquet(questions: Sequence[Question], groups: Sequence[Sequence[Completion]]) -> bytes:
    rows = (
        {
            "question_id": question.id,
            "sample": sample,
            "policy_version": completion.policy_version,
            "finish_reason": completion.finish_reason.value,
            "token_ids": completion.token_ids,
            "logprobs": completion.logprobs,
            "text": storable(completion.text),
        }
        for question, group in zip(questions, groups, strict=True)
        for sample, completion in enumerate(group)
    )
    return to_parquet(rows, ROLLOUTS)


def completions_from_parquet(content: bytes) -> list[tuple[str, int, Completion]]:
    """(question id, sample, completion) in the recorded order."""
    return [
        (
            row["question_id"],
            row["sample"],
            Completion(
                token_ids=tuple(row["token_ids"]),
                logprobs=tuple(row["logprobs"]),
                text=row["text"],
                finish_reason=FinishReason(row["finish_reason"]),
                policy_version=row["policy_version"],
            ),
        )
        for row in from_parquet(content)
    ]


def verdicts_to_parquet(rows: Sequence[tuple[str, int, Verdict, Rewarded]]) -> bytes:
    """Of (question id, sample, verdict, reward)."""
    are_own = any(reward.status is not None for *_, reward in rows)
    return to_parquet(
        (
            {
                "question_id": question,
                "sample": sample,
                "status": verdict.status.value,
                "answer": storable(verdict.answer),
                "path": verdict.path.value,
                "reason": storable(verdict.reason),
                "seconds": verdict.seconds,
                "reward": reward.value,
                **(_own_reward_row(reward) if are_own else {}),
            }
            for question, sample, verdict, reward in rows
        ),
        OWN_REWARDS if are_own else VERDICTS,
    )


def _own_reward_row(reward: Rewarded) -> dict[str, Any]:
    return {
        "reward_status": None if reward.status is None else reward.status.value,
        "reward_reason": storable(reward.reason),
        "reward_parts": [{"name": storable(name), "value": value} for name, value in reward.parts],
    }


def groups_from_parquet(
    completions: Sequence[tuple[str, int, Completion]], verdicts: Sequence[bytes], by_id: Mapping[str, Question]
) -> list[RolloutGroup]:
    """The groups of decoded completions, in their order, with their verdicts out of one file or several."""
    members: dict[str, list[Rollout]] = {}
    rows = [row for content in verdicts for row in from_parquet(content)]
    for (question, sample, completion), row in zip(completions, rows, strict=True):
        assert (question, sample) == (row["question_id"], row["sample"])
        verdict = Verdict(
            status=Status(row["status"]),
            answer=row["answer"],
            path=DecidedBy(row["path"]),
            seconds=row["seconds"],
            reason=row["reason"],
        )
        status = row.get("reward_status")
        rollout = Rollout(
            sample=sample,
            completion=completion,
            verdict=verdict,
            reward=row["reward"],
            reward_parts=tuple((part["name"], part["value"]) for part in row.get("reward_parts") or ()),
            reward_status=None if status is None else RewardStatus(status),
            reward_reason=row.get("reward_reason") or "",
        )
        members.setdefault(question, []).append(rollout)
    return [RolloutGroup(question=by_id[q], rollouts=tuple(found)) for q, found in members.items()]


def demonstrations_to_parquet(demonstrations: Sequence[Demonstration]) -> bytes:
    rows = ({**asdict(d), "text": storable(d.text), "refusal": storable(d.refusal)} for d in demonstrations)
    return to_parquet(rows, DEMONSTRATIONS)


def demonstrations_from_parquet(content: bytes) -> list[Demonstration]:
    """Recordings of before the kinds hold solutions alone."""
    rows = from_parquet(content)
    return [Demonstration(**{**row, "kind": DemonstrationKind(row.get("kind", "solution"))}) for row in rows]


def sequence_row(update: int, role: str, demonstration: str | None, sequence: TrainingSequence) -> dict[str, Any]:
    return {
        "update": update,
        "role": role,
        "demonstration_id": demonstration,
        "question_id": sequence.question_id,
        "token_ids": sequence.token_ids,
        "loss_mask": sequence.loss_mask,
    }


def sequence_of(row: Mapping[str, Any]) -> TrainingSequence:
    return TrainingSequence(
        question_id=row["question_id"], token_ids=tuple(row["token_ids"]), loss_mask=tuple(row["loss_mask"])
    )
