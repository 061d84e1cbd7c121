"""What a supervised update did to each demonstration: its likelihood before and after.

Shapes: C tokens in the loss of a micro-batch, S its sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from relift.learning.batching import MicroBatch
from relift.learning.sharding import Ranks
from relift.learning.tokens import sequence_sums
from relift.records import TrainingSequence


class Likelihoods:
    """Negative log-likelihoods of demonstrations, as they become known."""

    def __init__(self, demonstrations: Sequence[TrainingSequence]) -> None:
        self._demonstrations = demonstrations
        self._known: dict[int, float] = {}  # by identity: what was measured is the very demonstration

    def over(self, ranks: Ranks) -> tuple[float, ...]:
        """Nats per token, in the order of the demonstrations; all ranks must call it.

        Each is known to the rank that computed it; one that is given twice may be known to two.
        """
        known = [self._known.get(id(demonstration)) for demonstration in self._demonstrations]
        totals = ranks.sums([value or 0.0 for value in known])
        knowing = ranks.sums([float(value is not None) for value in known])
        return tuple(total / max(1.0, count) for total, count in zip(totals, knowing, strict=True))

    def add(self, sequences: Sequence[TrainingSequence], batch: MicroBatch, logprobs_C: Tensor) -> None:
        """Those of a micro-batch of ``sequences``."""
        sums_S = sequence_sums(-logprobs_C, batch.sequence_C, batch.loss_tokens_S)
        for index, value in zip(batch.indices, (sums_S / batch.loss_tokens_S.clamp(min=1)).tolist(), strict=True):
            self._known[id(sequences[index])] = value


def others(demonstrations: Sequence[TrainingSequence], taught: Sequence[TrainingSequence]) -> list[TrainingSequence]:
    """The demonstrations that are not themselves, as objects, among those taught."""
    own = set(map(id, taught))
    return [demonstration for demonstration in demonstrations if id(demonstration) not in own]


def per_token(nll: Sequence[float], sequences: Sequence[TrainingSequence]) -> float:
    """Mean over all tokens, where ``nll`` holds the mean of each sequence."""
    tokens = [sequence.loss_tokens for sequence in sequences]
    return sum(n * t for n, t in zip(nll, tokens, strict=True)) / max(1, sum(tokens))
