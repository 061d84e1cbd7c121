"""What a token's loss is made of: the ratio of new to old probability, and the surrogate that is built on it.

Shapes: C tokens in the loss of a micro-batch, packed in order; S its sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relift.config import ClipConfig, Level, Surrogate

MAX_LOG_RATIO = 20.0
"""Nats, either way, as in verl: a token whose probability moved by more than e^20 is a fault, not a step, and its ratio
would be infinite in float32 from 89 on. Beyond it the ratio stays as it is and has no gradient."""


def sequence_sums(values_C: Tensor, sequence_C: Tensor, loss_tokens_S: Tensor) -> Tensor:
    """(S,) sum of the values of each sequence's tokens; 0 for a sequence without tokens in the loss."""
    return values_C.new_zeros(loss_tokens_S.shape).index_add(0, sequence_C, values_C)


def policy_ratio(
    logprobs_C: Tensor, old_logprobs_C: Tensor, sequence_C: Tensor, loss_tokens_S: Tensor, level: Level
) -> Tensor:
    """(C,) new over old probability, with gradient, within exp(+-MAX_LOG_RATIO).

    ``token``: exp(l - l_old) of each token. ``sequence``: exp(mean over the sequence's tokens of l - l_old), the same
    for all of them (GSPO, arXiv 2507.18071, eq. 7); its gradient goes through the mean, so with the aggregation
    "seq-mean" the sum over tokens is the paper's objective (eq. 5).
    """
    log_ratio_C = logprobs_C - old_logprobs_C
    if level == "sequence":
        mean_S = sequence_sums(log_ratio_C, sequence_C, loss_tokens_S) / loss_tokens_S.clamp(min=1)
        log_ratio_C = mean_S[sequence_C]
    return torch.exp(log_ratio_C.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))


def surrogate_objective(
    kind: Surrogate, ratio_C: Tensor, logprobs_C: Tensor, advantages_C: Tensor, clip: ClipConfig | None
) -> tuple[Tensor, Tensor]:
    """(C,) what is to be maximised, and whether clipping changed it."""
    if kind == "cispo":
        assert clip is not None, "cispo without bounds is ppo without bounds: the configuration refuses it"
        return cispo_surrogate(ratio_C, logprobs_C, advantages_C, clip)
    return clipped_surrogate(ratio_C, advantages_C, clip)


def clipped_surrogate(ratio_C: Tensor, advantages_C: Tensor, clip: ClipConfig | None) -> tuple[Tensor, Tensor]:
    """(C,) surrogate of PPO and whether clipping changed it; ``clip=None`` is the plain ratio times the advantage.

    min(r A, clamp(r, 1 - low, 1 + high) A), and at least dual * A where A is negative (dual clip, arXiv 1912.09729).
    """
    plain_C = ratio_C * advantages_C
    if clip is None:
        return plain_C, torch.zeros_like(plain_C, dtype=torch.bool)
    surrogate_C = torch.minimum(plain_C, ratio_C.clamp(1 - clip.low, 1 + clip.high) * advantages_C)
    if clip.dual is not None:
        floor_C = torch.where(advantages_C < 0, clip.dual * advantages_C, -torch.inf)
        surrogate_C = torch.maximum(surrogate_C, floor_C)
    return surrogate_C, (surrogate_C != plain_C).detach()


def cispo_surrogate(
    ratio_C: Tensor, logprobs_C: Tensor, advantages_C: Tensor, clip: ClipConfig
) -> tuple[Tensor, Tensor]:
    """(C,) sg(clamp(r, 1 - low, 1 + high)) A l, and whether the ratio was clipped (CISPO, arXiv 2506.13585, eq. 4-5).

    The clipped ratio is a constant, so a clipped token keeps the gradient of its log-probability, which PPO drops.
    """
    weight_C = ratio_C.detach().clamp(1 - clip.low, 1 + clip.high)
    return weight_C * advantages_C * logprobs_C, weight_C != ratio_C.detach()
