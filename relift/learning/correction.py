"""What the policy is compared with beside its old self: the sampler and the start model.

Shapes: C tokens in the loss of a micro-batch, packed in order; S its sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relift.config import CorrectionConfig, KlEstimator
from relift.learning.surrogate import MAX_LOG_RATIO
from relift.learning.tokens import sequence_sums

MAX_K3 = 10.0
"""Nats of one token, as in verl. The estimate grows with exp(-d): one token of which the policy has become unsure would
outweigh all others. Beyond it the penalty stays as it is and has no gradient; k1 and k2 are not bounded."""


def importance_weights(
    old_logprobs_C: Tensor,
    sampling_logprobs_C: Tensor,
    sequence_C: Tensor,
    loss_tokens_S: Tensor,
    config: CorrectionConfig,
) -> tuple[Tensor, Tensor]:
    """(C,) weight of each token for having been drawn by the engine, without gradient, and whether a bound changed it.

    w = exp(l_old - l_sampler) of the token, or of the whole completion: exp of the sum over its tokens. ``truncate``
    is min(w, high) (TIS, Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").
    ``mask`` is w within the bounds and 0 outside: with both bounds IcePop's (arXiv 2510.18855), with the upper one
    alone masked importance sampling (Liu et al. 2025, "When speed kills stability"). A masked token stays in every
    denominator: it counts as one that taught nothing.
    """
    log_weight_C = (old_logprobs_C - sampling_logprobs_C).detach()
    if config.level == "sequence":
        log_weight_C = sequence_sums(log_weight_C, sequence_C, loss_tokens_S)[sequence_C]
    weight_C = torch.exp(log_weight_C)
    if config.mode == "truncate":
        return weight_C.clamp(max=config.high), weight_C > config.high
    outside_C = weight_C > config.high
    if config.low is not None:
        outside_C = outside_C | (weight_C < config.low)
    return weight_C.masked_fill(outside_C, 0.0), outside_C


def kl_estimate(logprobs_C: Tensor, reference_logprobs_C: Tensor, estimator: KlEstimator) -> Tensor:
    """(C,) estimate of KL(policy || reference) in nats from the sampled tokens alone, with gradient.

    With d = l - l_reference: k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d (Schulman 2020, "Approximating KL
    divergence"). GRPO takes k3 (arXiv 2402.03300, eq. 4); it is never negative, and at most MAX_K3 here. As terms of
    a loss they are differentiated as they stand: on tokens of the policy itself the gradient of k1 is zero on average
    and only adds noise, that of k2 is the gradient of this KL, and that of k3 the gradient of KL(reference ||
    policy).
    """
    difference_C = logprobs_C - reference_logprobs_C
    if estimator == "k1":
        return difference_C
    if estimator == "k2":
        return difference_C.square() / 2
    difference_C = difference_C.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    estimate_C = torch.expm1(-difference_C) + difference_C  # exp(-d) - 1 would lose all digits near 0
    return estimate_C.clamp(max=MAX_K3)
