"""Forward passes of a model over sequences: how they are cut up, and what comes of each piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.learning.batching import MicroBatch, micro_batches
from relift.learning.forward import token_logprobs
from relift.learning.head import Entropy
from relift.learning.likelihoods import Likelihoods
from relift.learning.packing import can_share_prompts
from relift.learning.sharding import Ranks, inside_forward
from relift.records import TrainingSequence

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How a forward pass is cut up, e.g. vocabulary 151665, micro_batch_tokens 16384, chunk_tokens 2048.

    Resolved once per run: another cut is another sum in the last bits (contract 4).
    """

    vocabulary: int
    """Real tokens; what pads the embedding holds no probability."""
    micro_batch_tokens: int
    """Packed tokens of a micro-batch, at most."""
    chunk_tokens: int
    """Tokens whose logits exist at once."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A model with all that its log-probabilities depend on."""

    model: PreTrainedModel
    sizes: Sizes
    temperature: float
    ranks: Ranks

    def split(self, sequences: Sequence[TrainingSequence]) -> list[MicroBatch]:
        """This rank's micro-batches; on every rank the same number, none where there are no sequences."""
        batches = micro_batches(
            sequences,
            max_tokens=self.sizes.micro_batch_tokens,
            count_multiple=self.ranks.size,
            share_prompts=can_share_prompts(self.model.device),
        )
        return [batch.to(self.model.device) for batch in self.ranks.share(batches)]

    def logprobs(
        self, batch: MicroBatch, entropy: Entropy = Entropy.NONE, *, targets_CN: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        compute = partial(
            token_logprobs,
            self.model,
            batch,
            temperature=self.temperature,
            vocabulary=self.sizes.vocabulary,
            chunk_tokens=self.sizes.chunk_tokens,
            entropy=entropy,
            targets_CN=targets_CN,
        )
        return inside_forward(self.model, compute)

    def without_gradient(self, batches: Sequence[MicroBatch], check: Callable[[], None]) -> list[Tensor]:
        results = []
        for batch in batches:
            with torch.no_grad():
                results.append(self.logprobs(batch)[0])
            check()
        return results

    def measure(
        self, sequences: Sequence[TrainingSequence], likelihoods: Likelihoods, check: Callable[[], None]
    ) -> None:
        batches = self.split(sequences)
        for batch, logprobs_C in zip(batches, self.without_gradient(batches, check), strict=True):
            likelihoods.add(sequences, batch, logprobs_C)
