"""Micro-batches: the one record that holds tensors, its sequences packed one after the other without padding.

Shapes: P tokens packed, C of them in the loss, S sequences of a micro-batch.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from relift.errors import ConfigError
from relift.records import TrainingSequence

ATTENTION_TOKENS = 8192
"""Length at which a sequence costs as much in attention as in all else: 12 times a hidden width of a few hundred.

It only decides how evenly the work is spread, and hardly that: lengths well below it cost about their tokens.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Some sequences of an optimizer step, packed; what the losses read is packed once more, to the tokens in the loss.

    Example: lengths (5, 3), of which the last two and the last one are in the loss: positions 0 1 2 3 4 0 1 2,
    predictors 2 3 6, sequence_C 0 0 1, loss_tokens_S 2 1.
    """

    indices: tuple[int, ...]
    """Place of each sequence in the list that was split."""
    lengths: tuple[int, ...]
    """Tokens of each of the S sequences; they sum to P."""
    token_ids_P: Tensor
    """int64."""
    positions_P: Tensor
    """int64, from 0 in each sequence."""
    predictors_C: Tensor
    """int64 places in P of the states that predict the tokens in the loss: the token before each. Ascending."""
    targets_C: Tensor
    """int64 ids of the tokens in the loss."""
    sequence_C: Tensor
    """int64, 0..S-1: which sequence a loss token belongs to. Ascending."""
    loss_tokens_S: Tensor
    """float32, how many tokens in the loss each sequence has."""
    advantages_S: Tensor | None
    """float32; None for demonstrations."""
    sampling_logprobs_C: Tensor | None
    """float32, in nats; None for demonstrations."""

    def to(self, device: torch.device) -> MicroBatch:
        return MicroBatch(
            indices=self.indices,
            lengths=self.lengths,
            token_ids_P=self.token_ids_P.to(device),
            positions_P=self.positions_P.to(device),
            predictors_C=self.predictors_C.to(device),
            targets_C=self.targets_C.to(device),
            sequence_C=self.sequence_C.to(device),
            loss_tokens_S=self.loss_tokens_S.to(device),
            advantages_S=None if self.advantages_S is None else self.advantages_S.to(device),
            sampling_logprobs_C=None if self.sampling_logprobs_C is None else self.sampling_logprobs_C.to(device),
        )


def micro_batches(
    sequences: Sequence[TrainingSequence], *, max_tokens: int, count_multiple: int = 1
) -> list[MicroBatch]:
    """The sequences in micro-batches of at most ``max_tokens`` tokens and about equal cost, the costliest first.

    Their number is a multiple of ``count_multiple``: of N ranks, each takes every N-th from its own on, and all get the
    same number and about the same work. Where the sequences do not suffice the last ones are empty.

    Deterministic in the arguments. Losses are sums over counts of the whole step, so the split changes rounding alone;
    but it does change rounding, which is why the budget is resolved once per run and stored with it (contract 4).
    Raises ConfigError when a single sequence exceeds the budget.
    """
    lengths = [len(sequence.token_ids) for sequence in sequences]
    if not lengths:
        return []
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    if lengths[longest] > max_tokens:
        raise ConfigError(
            f"the micro-batch budget of {max_tokens} tokens is smaller than a sequence of {lengths[longest]} tokens "
            f"(question {sequences[longest].question_id}), which cannot be split. "
            "Raise the budget to at least the longest prompt plus rollout.max_tokens."
        )
    # Of all sequences, not of a micro-batch: an empty one has the fields of the others.
    rewarded = all(sequence.advantage is not None for sequence in sequences)
    sampled = all(sequence.sampling_logprobs is not None for sequence in sequences)
    return [_packed(sequences, chosen, rewarded, sampled) for chosen in split(lengths, max_tokens, count_multiple)]


def split(lengths: Sequence[int], max_tokens: int, count_multiple: int = 1) -> list[list[int]]:
    """Which sequences go together: the longest remaining one always to the cheapest micro-batch with room for it.

    As few micro-batches as the budget allows with a multiple of ``count_multiple``, or nearly so; longest first within
    each. No length may exceed ``max_tokens``.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])  # stable
    missing = max(-(-sum(lengths) // max_tokens), sum(2 * length > max_tokens for length in lengths))
    count = 0
    while missing:
        count += -(-missing // count_multiple) * count_multiple
        chosen, left_over = _spread(order, lengths, max_tokens, count)
        missing = -(-left_over // max_tokens)
    # The order of the micro-batches is that of their costs, ties by the sequence they begin with; empty ones last.
    return sorted(chosen, key=lambda part: (-sum(_cost(lengths[i]) for i in part), part[:1]))


def _spread(order: Sequence[int], lengths: Sequence[int], max_tokens: int, count: int) -> tuple[list[list[int]], int]:
    """``order`` dealt to ``count`` micro-batches, and the tokens of those that found no room."""
    chosen: list[list[int]] = [[] for _ in range(count)]
    tokens = [0] * count
    cheapest = [(0.0, place) for place in range(count)]  # a heap
    left_over = 0
    for i in order:
        full = []
        while cheapest and tokens[cheapest[0][1]] + lengths[i] > max_tokens:
            full.append(heapq.heappop(cheapest))
        if cheapest:
            cost, place = cheapest[0]
            chosen[place].append(i)
            tokens[place] += lengths[i]
            heapq.heapreplace(cheapest, (cost + _cost(lengths[i]), place))
        else:
            left_over += lengths[i]
        for entry in full:  # a shorter sequence may still fit
            heapq.heappush(cheapest, entry)
    return chosen, left_over


def _cost(length: int) -> float:
    """In tokens of a short sequence: linear layers grow with the length, attention with its square."""
    return length + length * length / ATTENTION_TOKENS


def _packed(sequences: Sequence[TrainingSequence], chosen: Sequence[int], rewarded: bool, sampled: bool) -> MicroBatch:
    rows = [sequences[i] for i in chosen]
    lengths_S = torch.tensor([len(row.token_ids) for row in rows], dtype=torch.int64)
    token_ids_P = torch.tensor(list(chain.from_iterable(row.token_ids for row in rows)), dtype=torch.int64)
    in_loss_P = torch.tensor(list(chain.from_iterable(row.loss_mask for row in rows)), dtype=torch.bool)
    starts_P = (lengths_S.cumsum(0) - lengths_S).repeat_interleave(lengths_S)
    sequence_P = torch.arange(len(rows)).repeat_interleave(lengths_S)
    places_C = in_loss_P.nonzero().squeeze(1)
    assert bool((places_C > starts_P[places_C]).all()), "the first token of a sequence has nothing to be predicted from"
    logprobs = chain.from_iterable(row.sampling_logprobs or () for row in rows)
    return MicroBatch(
        indices=tuple(chosen),
        lengths=tuple(lengths_S.tolist()),
        token_ids_P=token_ids_P,
        positions_P=torch.arange(len(token_ids_P)) - starts_P,
        predictors_C=places_C - 1,
        targets_C=token_ids_P[places_C],
        sequence_C=sequence_P[places_C],
        loss_tokens_S=torch.bincount(sequence_P[places_C], minlength=len(rows)).to(torch.float32),
        advantages_S=torch.tensor([row.advantage for row in rows], dtype=torch.float32) if rewarded else None,
        sampling_logprobs_C=torch.tensor(list(logprobs), dtype=torch.float32)[places_C] if sampled else None,
    )
