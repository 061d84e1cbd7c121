"""What a policy loss makes of each token: the ratio of new to old probability, and the surrogate that is built on it.

Shapes: C tokens in the loss of a micro-batch, packed in order; S its sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relift.config import CispoClipConfig, CispoConfig, ClipConfig, GspoConfig, Level, Loss, PluginConfig
from relift.learning.own_loss import own_objective
from relift.learning.tokens import Objective, PolicyTokens, sequence_sums

MAX_LOG_RATIO = 20.0
"""Nats, either way, as in verl: a token whose probability moved by more than e^20 is a fault, not a step, and its ratio
would be infinite in float32 from 89 on. Beyond it the ratio stays as it is and has no gradient."""


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


def objective_of(loss: Loss, tokens: PolicyTokens) -> Objective:
    """What each token is to maximise under a loss, and what the loss measures of them."""
    if isinstance(loss, PluginConfig):
        return own_objective(loss, tokens)
    level: Level = "sequence" if isinstance(loss, GspoConfig) else "token"
    ratio_C = policy_ratio(tokens.logprobs_C, tokens.old_logprobs_C, tokens.sequence_C, tokens.loss_tokens_S, level)
    if isinstance(loss, CispoConfig):
        objective_C, clipped_C = cispo_surrogate(ratio_C, tokens.logprobs_C, tokens.advantages_C, loss.clip)
    else:
        objective_C, clipped_C = clipped_surrogate(ratio_C, tokens.advantages_C, loss.clip)
    return Objective(objective_C, {"clip_fraction": clipped_C.sum()})


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
    ratio_C: Tensor, logprobs_C: Tensor, advantages_C: Tensor, clip: CispoClipConfig
) -> tuple[Tensor, Tensor]:
    """(C,) sg(clamp(r, 1 - low, 1 + high)) A l, and whether the ratio was clipped (CISPO, arXiv 2506.13585, eq. 4-5).

    The clipped ratio is a constant, so a clipped token keeps the gradient of its log-probability, which PPO drops.
    """
    weight_C = ratio_C.detach().clamp(1 - clip.low, 1 + clip.high)
    return weight_C * advantages_C * logprobs_C, weight_C != ratio_C.detach()
