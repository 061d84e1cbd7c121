"""Micro-batches: the one record that holds tensors, its sequences packed without padding.

Shapes: P tokens packed, C of them in the loss, S sequences of a micro-batch.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relift.errors import ConfigError
from relift.learning.branches import Family, Span, alone, families
from relift.records import TrainingSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Some sequences of an optimizer step, packed; what the losses read is packed once more, to the tokens in the loss.

    Example: two sequences of 5 and 3 tokens, of which the last two and the last one are in the loss: positions
    0 1 2 3 4 0 1 2, predictors 2 3 6, sequence_C 0 0 1, loss_tokens_S 2 1.
    """

    indices: tuple[int, ...]
    """Place of each sequence in the list that was split."""
    spans: tuple[Span, ...]
    """What belongs together of the P tokens: a sequence, or a prompt, or what a sequence adds to its prompt."""
    token_ids_P: Tensor
    """int64."""
    positions_P: Tensor
    """int64, the position of a token in its sequence."""
    predictors_C: Tensor
    """int64 positions in P of the states that predict the tokens in the loss: the token before each.

    Where prompts are shared, the last token of one occurs once for each of its sequences.
    """
    targets_C: Tensor
    """int64 ids of the tokens in the loss."""
    sequence_C: Tensor
    """int64, 0..S-1: which sequence a loss token belongs to. Ascending."""
    loss_tokens_S: Tensor
    """float32, how many tokens in the loss each sequence has."""
    advantages_S: Tensor | None
    """float32; None for demonstrations."""
    sampling_logprobs_C: Tensor | None
    """float32, in nats, 0 on a demonstration that joined a group; None for demonstrations of a supervised update."""
    demonstrated_S: Tensor | None = None
    """bool, which sequences are demonstrations that joined a group; None where none of the split list is."""

    def to(self, device: torch.device) -> MicroBatch:
        return MicroBatch(
            indices=self.indices,
            spans=self.spans,
            token_ids_P=self.token_ids_P.to(device),
            positions_P=self.positions_P.to(device),
            predictors_C=self.predictors_C.to(device),
            targets_C=self.targets_C.to(device),
            sequence_C=self.sequence_C.to(device),
            loss_tokens_S=self.loss_tokens_S.to(device),
            advantages_S=None if self.advantages_S is None else self.advantages_S.to(device),
            sampling_logprobs_C=None if self.sampling_logprobs_C is None else self.sampling_logprobs_C.to(device),
            demonstrated_S=None if self.demonstrated_S is None else self.demonstrated_S.to(device),
        )


def micro_batches(
    sequences: Sequence[TrainingSequence], *, max_tokens: int, count_multiple: int = 1, share_prompts: bool = False
) -> list[MicroBatch]:
    """The sequences in micro-batches of at most ``max_tokens`` tokens and about equal cost, the costliest first.

    ``share_prompts`` leaves out of the packs what need not be computed: prompts that are there already, and what
    follows the last token that predicts one in the loss. Not every attention can read such a pack.

    Their number is a multiple of ``count_multiple``: of N ranks, each takes every N-th from its own on, and all get the
    same number and about the same work. Where the sequences do not suffice the last ones are empty; those that share a
    prompt stay together where the budget allows, so ranks with few questions between them get less even shares.

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
    sampled = rewarded or all(sequence.sampling_logprobs is not None for sequence in sequences)
    joined = rewarded and any(sequence.sampling_logprobs is None for sequence in sequences)
    together = families(sequences, max_tokens) if share_prompts else alone(sequences)
    chosen = split([f.tokens for f in together], [f.cost for f in together], max_tokens, count_multiple)
    packed = [_packed(sequences, [together[i] for i in part], rewarded, sampled) for part in chosen]
    return [_with_demonstrations(batch, sequences) for batch in packed] if joined else packed


def split(lengths: Sequence[int], costs: Sequence[float], max_tokens: int, count_multiple: int = 1) -> list[list[int]]:
    """Which items go together: the longest remaining one always to the cheapest micro-batch with space for it.

    As few micro-batches as the budget allows with a multiple of ``count_multiple``, or nearly so; longest first within
    each. No length may exceed ``max_tokens``.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])  # stable
    missing = max(-(-sum(lengths) // max_tokens), sum(2 * length > max_tokens for length in lengths))
    count = 0
    while missing:
        count += -(-missing // count_multiple) * count_multiple
        chosen, left_over = _spread(order, lengths, costs, max_tokens, count)
        missing = -(-left_over // max_tokens)
    # The order of the micro-batches is that of their costs, ties by the item they begin with; empty ones last.
    return sorted(chosen, key=lambda part: (-sum(costs[i] for i in part), part[:1]))


def _spread(
    order: Sequence[int], lengths: Sequence[int], costs: Sequence[float], max_tokens: int, count: int
) -> tuple[list[list[int]], int]:
    """``order`` dealt to ``count`` micro-batches, and the tokens of those that found no space."""
    chosen: list[list[int]] = [[] for _ in range(count)]
    tokens = [0] * count
    cheapest = [(0.0, slot) for slot in range(count)]  # a heap
    left_over = 0
    for i in order:
        full = []
        while cheapest and tokens[cheapest[0][1]] + lengths[i] > max_tokens:
            full.append(heapq.heappop(cheapest))
        if cheapest:
            cost, slot = cheapest[0]
            chosen[slot].append(i)
            tokens[slot] += lengths[i]
            heapq.heapreplace(cheapest, (cost + costs[i], slot))
        else:
            left_over += lengths[i]
        for entry in full:  # a shorter one may still fit
            heapq.heappush(cheapest, entry)
    return chosen, left_over


def _with_demonstrations(batch: MicroBatch, sequences: Sequence[TrainingSequence]) -> MicroBatch:
    demonstrated = [sequences[index].sampling_logprobs is None for index in batch.indices]
    return replace(batch, demonstrated_S=torch.tensor(demonstrated, dtype=torch.bool))


def _packed(
    sequences: Sequence[TrainingSequence], chosen: Sequence[Family], rewarded: bool, sampled: bool
) -> MicroBatch:
    token_ids, positions, spans = list[int](), list[int](), list[Span]()
    predictors, targets, logprobs = list[int](), list[int](), list[float]()
    loss_tokens = list[int]()
    for family in chosen:
        shared = Span(start=len(token_ids), stop=len(token_ids) + family.prefix)
        if family.prefix:
            token_ids += sequences[family.indices[0]].token_ids[: family.prefix]
            positions += range(family.prefix)
            spans.append(shared)
        for index, stop in zip(family.indices, family.stops, strict=True):
            sequence, start = sequences[index], len(token_ids)
            token_ids += sequence.token_ids[family.prefix : stop]
            positions += range(family.prefix, stop)
            if stop > family.prefix:
                spans.append(Span(start=start, stop=len(token_ids), prefix_start=shared.start, prefix_stop=shared.stop))
            loss_positions = [position for position, in_loss in enumerate(sequence.loss_mask) if in_loss]
            assert 0 not in loss_positions, "the first token of a sequence has nothing to be predicted from"
            first = start - family.prefix
            predictors += [
                shared.stop - 1 if position == family.prefix else first + position - 1 for position in loss_positions
            ]
            targets += [sequence.token_ids[position] for position in loss_positions]
            loss_tokens.append(len(loss_positions))
            if sampled:
                given = sequence.sampling_logprobs or (0.0,) * len(sequence.token_ids)
                logprobs += [given[position] for position in loss_positions]
    indices = [index for family in chosen for index in family.indices]
    advantages = [sequences[index].advantage for index in indices]
    loss_tokens_S = torch.tensor(loss_tokens, dtype=torch.int64)
    return MicroBatch(
        indices=tuple(indices),
        spans=tuple(spans),
        token_ids_P=torch.tensor(token_ids, dtype=torch.int64),
        positions_P=torch.tensor(positions, dtype=torch.int64),
        predictors_C=torch.tensor(predictors, dtype=torch.int64),
        targets_C=torch.tensor(targets, dtype=torch.int64),
        sequence_C=torch.arange(len(indices)).repeat_interleave(loss_tokens_S),
        loss_tokens_S=loss_tokens_S.to(torch.float32),
        advantages_S=torch.tensor(advantages, dtype=torch.float32) if rewarded else None,
        sampling_logprobs_C=torch.tensor(logprobs, dtype=torch.float32) if sampled else None,
    )
