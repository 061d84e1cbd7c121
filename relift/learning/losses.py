"""The losses: pure functions of tensors, each a sum that the caller's counts turn into the update's mean.

Shapes: B sequences of a micro-batch, T tokens padded, 1 a broadcast axis. Every denominator counts the *whole*
optimizer step, all its micro-batches and ranks, so losses and gradients of the parts add up to those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from relift.config import ClipConfig
from relift.records import TrainingSequence

Aggregation = Literal["token-mean", "seq-mean", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What an optimizer step divides by, e.g. tokens 5310, sequences 256; counted before its first forward."""

    tokens: int
    """Tokens with loss mask 1, those of sequences without signal included."""
    sequences: int

    @classmethod
    def of(cls, sequences: Iterable[TrainingSequence]) -> Counts:
        lengths = [sequence.loss_tokens for sequence in sequences]
        return cls(tokens=sum(lengths), sequences=len(lengths))


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOutput:
    """One micro-batch's part; all of it adds up over micro-batches."""

    loss: Tensor
    """(), in nats, divided by the step's counts; the one with a gradient."""
    tokens: Tensor
    """(), masked tokens."""
    entropy_sum: Tensor
    """(), entropy in nats summed over masked tokens; 0 where no entropy was given."""
    clipped_tokens: Tensor
    """(), masked tokens whose surrogate is not ratio * advantage; 0 for a supervised loss."""

    def detached(self) -> LossOutput:
        return replace(self, loss=self.loss.detach())


def policy_loss(
    logprobs_BT: Tensor,
    old_logprobs_BT: Tensor,
    advantages_B1: Tensor,
    mask_BT: Tensor,
    *,
    clip: ClipConfig | None,
    aggregation: Aggregation,
    counts: Counts,
    max_completion_tokens: int,
    entropy_BT: Tensor | None = None,
    entropy_weight: float = 0.0,
) -> LossOutput:
    """The clipped surrogate, negated and aggregated, less ``entropy_weight`` times the entropy under the same weights.

    ``clip=None`` is the plain ratio times the advantage. With ``old_logprobs_BT`` equal to ``logprobs_BT`` detached the
    ratio is 1 and the gradient that of REINFORCE. ``max_completion_tokens`` enters the aggregation "constant" alone.
    """
    surrogate_BT, clipped_BT = clipped_surrogate(torch.exp(logprobs_BT - old_logprobs_BT), advantages_B1, clip)
    weights_BT = mask_BT * aggregation_weights(mask_BT, aggregation, counts, max_completion_tokens)
    objective_BT = surrogate_BT
    entropy_sum = logprobs_BT.new_zeros(())
    if entropy_BT is not None:
        if entropy_weight:
            objective_BT = surrogate_BT + entropy_weight * entropy_BT
        entropy_sum = (entropy_BT.detach() * mask_BT).sum()
    return LossOutput(
        loss=-(objective_BT * weights_BT).sum(),
        tokens=mask_BT.sum(),
        entropy_sum=entropy_sum,
        clipped_tokens=(clipped_BT * mask_BT).sum(),
    )


def clipped_surrogate(ratio_BT: Tensor, advantages_B1: Tensor, clip: ClipConfig | None) -> tuple[Tensor, Tensor]:
    """(B, T) surrogate and whether clipping changed it.

    min(r A, clamp(r, 1 - low, 1 + high) A), and at least dual * A where A is negative (dual clip, arXiv 1912.09729).
    """
    plain_BT = ratio_BT * advantages_B1
    if clip is None:
        return plain_BT, torch.zeros_like(plain_BT, dtype=torch.bool)
    surrogate_BT = torch.minimum(plain_BT, ratio_BT.clamp(1 - clip.low, 1 + clip.high) * advantages_B1)
    if clip.dual is not None:
        floor_BT = torch.where(advantages_B1 < 0, clip.dual * advantages_B1, -torch.inf)
        surrogate_BT = torch.maximum(surrogate_BT, floor_BT)
    return surrogate_BT, (surrogate_BT != plain_BT).detach()


def aggregation_weights(
    mask_BT: Tensor, aggregation: Aggregation, counts: Counts, max_completion_tokens: int
) -> Tensor:
    """(B, 1) weight of a token in the step's loss, with D tokens and S sequences in the step.

    token-mean 1 / D; seq-mean 1 / (S * tokens of its own sequence); constant 1 / (S * max_completion_tokens).
    """
    lengths_B1 = mask_BT.sum(dim=1, keepdim=True)
    if aggregation == "token-mean":
        return torch.full_like(lengths_B1, 1 / counts.tokens)
    if aggregation == "seq-mean":
        return 1 / (counts.sequences * lengths_B1.clamp(min=1))
    return torch.full_like(lengths_B1, 1 / (counts.sequences * max_completion_tokens))


def sft_loss(
    logprobs_BT: Tensor, entropy_BT: Tensor | None, mask_BT: Tensor, *, alpha: float, token_count: int
) -> LossOutput:
    """Negative log-likelihood less alpha times entropy, summed here, divided by the whole step's ``token_count``."""
    total = -(logprobs_BT * mask_BT).sum()
    entropy_sum = logprobs_BT.new_zeros(())
    if entropy_BT is not None:
        entropy = (entropy_BT * mask_BT).sum()
        total = total - alpha * entropy if alpha else total
        entropy_sum = entropy.detach()
    return LossOutput(
        loss=total / token_count,
        tokens=mask_BT.sum(),
        entropy_sum=entropy_sum,
        clipped_tokens=logprobs_BT.new_zeros(()),
    )
