"""The losses: pure functions of tensors, each a sum that the caller's counts turn into the step's mean.

Shapes: C tokens in the loss of a micro-batch, packed in order; S its sequences. Every denominator counts the *whole*
optimizer step, all its micro-batches and ranks, so losses and gradients of the parts add up to those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relift.config import Aggregation, ClipConfig, CorrectionConfig, KlConfig, Level, Surrogate, TokenWeights
from relift.learning.correction import importance_weights, kl_estimate
from relift.learning.surrogate import policy_ratio, surrogate_objective
from relift.records import TrainingSequence


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
    """One micro-batch's part; all of it adds up over micro-batches. Sums run over its tokens; 0 for what is off."""

    loss: Tensor
    """(), in nats, divided by the step's counts; the one with a gradient."""
    tokens: Tensor
    """(), in the loss: C."""
    entropy_sum: Tensor
    """(), entropy in nats; 0 where no entropy was given."""
    clipped_tokens: Tensor
    """(), tokens whose surrogate, or whose ratio in CISPO, was clipped."""
    kl_sum: Tensor
    """(), the KL estimate in nats, before its weight."""
    correction_sum: Tensor
    """(), importance weights after their bounds; over ``tokens`` their mean."""
    bounded_tokens: Tensor
    """(), tokens whose importance weight was truncated or masked."""

    def detached(self) -> LossOutput:
        return replace(self, loss=self.loss.detach())


def policy_loss(
    logprobs_C: Tensor,
    old_logprobs_C: Tensor,
    advantages_S: Tensor,
    sequence_C: Tensor,
    loss_tokens_S: Tensor,
    *,
    clip: ClipConfig | None,
    aggregation: Aggregation,
    counts: Counts,
    max_completion_tokens: int,
    ratio: Level = "token",
    surrogate: Surrogate = "ppo",
    kl: KlConfig | None = None,
    reference_logprobs_C: Tensor | None = None,
    correction: CorrectionConfig | None = None,
    sampling_logprobs_C: Tensor | None = None,
    entropy_weight: float = 0.0,
    entropy_C: Tensor | None = None,
) -> LossOutput:
    """GRPO and its relatives: - sum over tokens of aggregation weight * (w * surrogate - kl + entropy bonus).

    ``sequence_C`` says which of the S sequences a token belongs to, ``loss_tokens_S`` how many tokens each has in the
    loss. With ``old_logprobs_C`` equal to ``logprobs_C`` detached the ratio is 1 and the gradient, without further
    terms, that of REINFORCE. The importance weight w multiplies the surrogate alone, since KL and entropy are not
    estimates of a reward; without ``correction`` it is 1. ``max_completion_tokens`` enters "constant" alone. An
    entropy that has no weight is only summed.
    """
    loss_tokens_S = loss_tokens_S.to(logprobs_C.dtype)
    entropy_sum = kl_sum = correction_sum = bounded_tokens = logprobs_C.new_zeros(())
    ratio_C = policy_ratio(logprobs_C, old_logprobs_C, sequence_C, loss_tokens_S, ratio)
    objective_C, clipped_C = surrogate_objective(surrogate, ratio_C, logprobs_C, advantages_S[sequence_C], clip)
    if correction is not None:
        assert sampling_logprobs_C is not None, "a correction compares with the sampler's log-probabilities"
        importance_C, bounded_C = importance_weights(
            old_logprobs_C, sampling_logprobs_C, sequence_C, loss_tokens_S, correction
        )
        objective_C = importance_C * objective_C
        correction_sum, bounded_tokens = importance_C.sum(), bounded_C.sum()
    if kl is not None:
        assert reference_logprobs_C is not None, "a KL penalty compares with the reference's log-probabilities"
        kl_C = kl_estimate(logprobs_C, reference_logprobs_C, kl.estimator)
        objective_C = objective_C - kl.weight * kl_C
        kl_sum = kl_C.detach().sum()
    if entropy_C is not None:
        objective_C = objective_C + entropy_weight * entropy_C if entropy_weight else objective_C
        entropy_sum = entropy_C.detach().sum()
    assert entropy_C is not None or not entropy_weight, "an entropy bonus needs the entropy"
    weights_S = aggregation_weights(loss_tokens_S, aggregation, counts, max_completion_tokens)
    return LossOutput(
        loss=-(objective_C * weights_S[sequence_C]).sum(),
        tokens=loss_tokens_S.sum(),
        entropy_sum=entropy_sum,
        clipped_tokens=clipped_C.sum(),
        kl_sum=kl_sum,
        correction_sum=correction_sum,
        bounded_tokens=bounded_tokens,
    )


def aggregation_weights(
    loss_tokens_S: Tensor, aggregation: Aggregation, counts: Counts, max_completion_tokens: int
) -> Tensor:
    """(S,) weight in the step's loss of each token of a sequence, with D tokens and N sequences in the step.

    token-mean 1 / D (DAPO, arXiv 2503.14476, eq. 8); seq-mean 1 / (N * tokens of its own sequence) (GRPO, arXiv
    2402.03300, eq. 3); constant 1 / (N * max_completion_tokens) (Dr. GRPO, arXiv 2503.20783).
    """
    if aggregation == "token-mean":
        return torch.full_like(loss_tokens_S, 1 / counts.tokens)
    if aggregation == "seq-mean":
        return 1 / (counts.sequences * loss_tokens_S.clamp(min=1))
    return torch.full_like(loss_tokens_S, 1 / (counts.sequences * max_completion_tokens))


def sft_loss(
    logprobs_C: Tensor,
    entropy_C: Tensor | None,
    *,
    alpha: float,
    token_count: int,
    token_weights: TokenWeights = "none",
    entropy_threshold: float | None = None,
) -> LossOutput:
    """Negative log-likelihood less alpha times entropy, summed here, divided by the whole step's ``token_count``.

    ``token_weights`` weigh the likelihood of each token and leave the denominator alone; see ``likelihood_weights``.
    """
    nll_C = -logprobs_C
    if token_weights != "none":
        nll_C = nll_C * likelihood_weights(logprobs_C, entropy_C, token_weights, entropy_threshold)
    total = nll_C.sum()
    assert entropy_C is not None or not alpha, "an entropy term needs the entropy"
    zero = entropy_sum = logprobs_C.new_zeros(())
    if entropy_C is not None:
        entropy = entropy_C.sum()
        total = total - alpha * entropy if alpha else total
        entropy_sum = entropy.detach()
    return LossOutput(
        loss=total / token_count,
        tokens=logprobs_C.new_full((), logprobs_C.numel()),
        entropy_sum=entropy_sum,
        clipped_tokens=zero,
        kl_sum=zero,
        correction_sum=zero,
        bounded_tokens=zero,
    )


def likelihood_weights(
    logprobs_C: Tensor, entropy_C: Tensor | None, kind: TokenWeights, entropy_threshold: float | None
) -> Tensor:
    """(C,) weight of each token's likelihood in a supervised loss, in [0, 1], without gradient.

    ``p(1-p)`` of the token's probability p: little for what the policy is sure of and for what would disrupt it (CHORD,
    arXiv 2508.11408). ``high-entropy``: 1 where the entropy reaches the threshold, else 0. Published for policy
    gradients is the top fifth of a batch (arXiv 2506.01939), which would depend on how the batch is split; a threshold
    in nats does not.
    """
    if kind == "p(1-p)":
        p_C = torch.exp(logprobs_C.detach())
        return p_C * (1 - p_C)
    if kind == "high-entropy":
        assert entropy_C is not None and entropy_threshold is not None, "high-entropy tokens need entropy and threshold"
        return (entropy_C.detach() >= entropy_threshold).to(logprobs_C.dtype)
    return torch.ones_like(logprobs_C)
