"""What a supervised update did to each demonstration: its likelihood before and after.

Shapes: C tokens in the loss of a micro-batch, S its sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from relift.learning.batching import MicroBatch
from relift.records import TrainingSequence


class Likelihoods:
    """Negative log-likelihoods of demonstrations, as they become known."""

    def __init__(self, demonstrations: Sequence[TrainingSequence]) -> None:
        self._demonstrations = demonstrations
        self._known: dict[int, float] = {}  # by identity: equal sequences may be computed on several ranks

    @property
    def nll(self) -> list[float]:
        """Nats per token, in the order of the demonstrations; 0 for those that another rank computes."""
        return [self._known.get(id(demonstration), 0.0) for demonstration in self._demonstrations]

    def add(self, sequences: Sequence[TrainingSequence], batch: MicroBatch, logprobs_C: Tensor) -> None:
        """Those of a micro-batch of ``sequences``."""
        sums_S = torch.zeros_like(batch.loss_tokens_S).index_add(0, batch.sequence_C, -logprobs_C)
        for index, value in zip(batch.indices, (sums_S / batch.loss_tokens_S).tolist(), strict=True):
            self._known[id(sequences[index])] = value


def others(demonstrations: Sequence[TrainingSequence], taught: Sequence[TrainingSequence]) -> list[TrainingSequence]:
    """The demonstrations that are not themselves, as objects, among those taught."""
    own = set(map(id, taught))
    return [demonstration for demonstration in demonstrations if id(demonstration) not in own]


def per_token(nll: Sequence[float], sequences: Sequence[TrainingSequence]) -> float:
    """Mean over all tokens, where ``nll`` holds the mean of each sequence."""
    tokens = [sequence.loss_tokens for sequence in sequences]
    return sum(n * t for n, t in zip(nll, tokens, strict=True)) / max(1, sum(tokens))
