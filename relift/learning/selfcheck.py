"""What must hold of engine and trainer before an update means what it says (contract 9).

Shapes: B sequences of a micro-batch, T tokens padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.config import RlConfig
from relift.learning.batching import micro_batches
from relift.learning.forward import token_logprobs
from relift.learning.losses import Counts, policy_loss
from relift.records import TrainingSequence

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Figures that should be near 0, e.g. logprob_gap 1e-7, split_error 1e-6."""

    logprob_gap: float
    """Mean |trainer - engine| log-probability of the sampled tokens, in nats."""
    split_error: float
    """Relative L2 distance between the gradient of the sequences together and that of one micro-batch each."""


def agreement(
    model: PreTrainedModel,
    sequences: Sequence[TrainingSequence],
    *,
    config: RlConfig,
    temperature: float,
    max_completion_tokens: int,
    vocabulary: int,
    micro_batch_tokens: int,
    pad_id: int,
) -> Agreement:
    """Compare on a few sampled sequences, whatever their advantage; weights and gradients are left as they were."""
    # Alternating advantages: with the real ones, which may all be 0, the gradient would show nothing.
    signed = [replace(s, advantage=1.0 if i % 2 else -0.5) for i, s in enumerate(sequences)]
    counts = Counts.of(signed)

    def gradient(parts: Sequence[Sequence[TrainingSequence]]) -> tuple[Tensor, float]:
        model.zero_grad(set_to_none=True)
        gap = 0.0
        for part in parts:
            for batch in micro_batches(part, max_tokens=micro_batch_tokens, pad_id=pad_id):
                there = batch.to(model.device)
                logprobs_BT, _ = token_logprobs(model, there, temperature=temperature, vocabulary=vocabulary)
                assert there.advantages_B1 is not None and there.sampling_logprobs_BT is not None
                gap += float(((logprobs_BT.detach() - there.sampling_logprobs_BT).abs() * there.mask_BT).sum())
                loss = policy_loss(
                    logprobs_BT,
                    logprobs_BT.detach(),
                    there.advantages_B1,
                    there.mask_BT,
                    clip=config.clip,
                    aggregation=config.aggregation,
                    counts=counts,
                    max_completion_tokens=max_completion_tokens,
                ).loss
                loss.backward()  # type: ignore[no-untyped-call]
        flat = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
        model.zero_grad(set_to_none=True)
        return flat, gap / max(1, counts.tokens)

    together, gap = gradient([signed])
    apart, _ = gradient([[sequence] for sequence in signed])
    error = float((together - apart).norm() / together.norm().clamp(min=1e-12))
    return Agreement(logprob_gap=gap, split_error=error)
