"""Micro-batches: the one record that holds tensors. Shapes: B sequences of a micro-batch, T tokens padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relift.errors import ConfigError
from relift.records import TrainingSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Some sequences of an optimizer step, padded on the right to the longest of them.

    There is no attention mask: under causal attention no token sees the pads to its right, and what the model computes
    at the pads is never looked at. Without a mask attention takes its fastest path.
    """

    indices: tuple[int, ...]
    """Place of each row in the sequence list that was split."""
    token_ids_BT: Tensor
    """int64."""
    mask_BT: Tensor
    """float32; 1 on tokens in the loss, 0 on prompt and pads."""
    advantages_B1: Tensor | None
    """float32; None for demonstrations."""
    sampling_logprobs_BT: Tensor | None
    """float32, in nats, 0 outside the mask; None for demonstrations."""

    def to(self, device: torch.device) -> MicroBatch:
        return MicroBatch(
            indices=self.indices,
            token_ids_BT=self.token_ids_BT.to(device),
            mask_BT=self.mask_BT.to(device),
            advantages_B1=None if self.advantages_B1 is None else self.advantages_B1.to(device),
            sampling_logprobs_BT=None if self.sampling_logprobs_BT is None else self.sampling_logprobs_BT.to(device),
        )


def micro_batches(sequences: Sequence[TrainingSequence], *, max_tokens: int, pad_id: int) -> list[MicroBatch]:
    """The sequences in micro-batches of at most ``max_tokens`` padded tokens, longest first, cut into length buckets.

    Deterministic in the sequences and the budget. Losses are sums over counts of the whole step, so the split changes
    rounding alone; but it does change rounding, which is why the budget is resolved once per run and stored with it
    (contract 4). Raises ConfigError when a single sequence exceeds the budget.
    """
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i].token_ids))  # stable
    if order and len(sequences[order[0]].token_ids) > max_tokens:
        longest = sequences[order[0]]
        raise ConfigError(
            f"the micro-batch budget of {max_tokens} tokens is smaller than a sequence of "
            f"{len(longest.token_ids)} tokens (question {longest.question_id}), which cannot be split. "
            "Raise the budget to at least the longest prompt plus rollout.max_tokens."
        )
    buckets: list[list[int]] = []
    for i in order:
        # The first of a bucket is its longest, so it alone decides how many rows fit.
        if not buckets or (len(buckets[-1]) + 1) * len(sequences[buckets[-1][0]].token_ids) > max_tokens:
            buckets.append([])
        buckets[-1].append(i)
    return [_padded(sequences, bucket, pad_id) for bucket in buckets]


def _padded(sequences: Sequence[TrainingSequence], bucket: Sequence[int], pad_id: int) -> MicroBatch:
    rows = [sequences[i] for i in bucket]
    length = max(len(row.token_ids) for row in rows)
    has_advantages = all(row.advantage is not None for row in rows)
    has_logprobs = all(row.sampling_logprobs is not None for row in rows)

    def filled(values: Callable[[TrainingSequence], Sequence[float]], fill: float, dtype: torch.dtype) -> Tensor:
        return torch.tensor([[*values(r), *[fill] * (length - len(r.token_ids))] for r in rows], dtype=dtype)

    return MicroBatch(
        indices=tuple(bucket),
        token_ids_BT=filled(lambda r: r.token_ids, pad_id, torch.int64),
        mask_BT=filled(lambda r: r.loss_mask, 0, torch.float32),
        advantages_B1=torch.tensor([[r.advantage] for r in rows], dtype=torch.float32) if has_advantages else None,
        sampling_logprobs_BT=(
            filled(lambda r: r.sampling_logprobs or (), 0.0, torch.float32) if has_logprobs else None
        ),
    )
