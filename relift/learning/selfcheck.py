"""What must hold of engine and trainer before an update means what it says (contract 9).

Shapes: C tokens in the loss of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.config import RlConfig
from relift.learning.batching import micro_batches
from relift.learning.forward import packing_error, token_logprobs
from relift.learning.losses import Counts, policy_loss
from relift.learning.packing import can_share_prompts
from relift.learning.passes import Sizes
from relift.learning.tokens import PolicyTokens
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
    packing_gap: float
    """Largest |packed - alone| log-probability of a token, in nats: packed sequences must not see each
    other."""


def agreement(
    model: PreTrainedModel,
    sequences: Sequence[TrainingSequence],
    *,
    config: RlConfig,
    sizes: Sizes,
    temperature: float,
    max_completion_tokens: int,
) -> Agreement:
    """Compare on a few sampled sequences, whatever their advantage; weights and gradients are left as they were.

    Raises ModelError for a model that cannot be trained on packed sequences.
    """
    # Alternating advantages: with the real ones, which may all be 0, the gradient would show nothing.
    signed = [replace(s, advantage=1.0 if i % 2 else -0.5) for i, s in enumerate(sequences)]
    counts = Counts.of(signed, max_completion_tokens=max_completion_tokens)
    plain = config.model_copy(update={"kl": None, "correction": None, "entropy_weight": 0.0})
    share = can_share_prompts(model.device)

    def gradient(parts: Sequence[Sequence[TrainingSequence]]) -> tuple[Tensor, float]:
        model.zero_grad(set_to_none=True)
        gap = 0.0
        for part in parts:
            for batch in micro_batches(part, max_tokens=sizes.micro_batch_tokens, share_prompts=share):
                there = batch.to(model.device)
                logprobs_C, _ = token_logprobs(
                    model,
                    there,
                    temperature=temperature,
                    vocabulary=sizes.vocabulary,
                    chunk_tokens=sizes.chunk_tokens,
                )
                assert there.advantages_S is not None and there.sampling_logprobs_C is not None
                gap += float((logprobs_C.detach() - there.sampling_logprobs_C).abs().sum())
                tokens = PolicyTokens(
                    logprobs_C=logprobs_C,
                    old_logprobs_C=logprobs_C.detach(),
                    advantages_S=there.advantages_S,
                    sequence_C=there.sequence_C,
                    loss_tokens_S=there.loss_tokens_S,
                    sampling_logprobs_C=there.sampling_logprobs_C,
                )
                loss = policy_loss(tokens, plain, counts).loss
                loss.backward()  # type: ignore[no-untyped-call]
        flat = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
        model.zero_grad(set_to_none=True)
        return flat, gap / max(1, counts.tokens)

    together, gap = gradient([signed])
    apart, _ = gradient([[sequence] for sequence in signed])
    error = float((together - apart).norm() / together.norm().clamp(min=1e-12))
    packing_gap = packing_error(
        model,
        signed,
        temperature=temperature,
        vocabulary=sizes.vocabulary,
        chunk_tokens=sizes.chunk_tokens,
        max_tokens=sizes.micro_batch_tokens,
    )
    return Agreement(logprob_gap=gap, split_error=error, packing_gap=packing_gap)
