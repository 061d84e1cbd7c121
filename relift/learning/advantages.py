"""Group advantages of GRPO, and the shaping of rewards that they alone see. Shapes: G rollouts of one question."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from relift.config import OverlongConfig


def group_advantages(rewards_G: Tensor, scale: Literal["none", "std"]) -> Tensor:
    """(G,) distance of each reward, of the graded rollouts alone, to their mean.

    ``std`` divides by the rewards' standard deviation (N-1 form) plus 1e-6. Exactly 0 everywhere, not merely close to
    it, where there is one reward or all agree: these zeros say which groups have no signal.
    """
    if rewards_G.numel() < 2 or bool((rewards_G == rewards_G[0]).all()):
        return torch.zeros_like(rewards_G)
    centred_G = rewards_G - rewards_G.mean()
    return centred_G / (rewards_G.std(correction=1) + 1e-6) if scale == "std" else centred_G


def overlong_penalty(tokens: int, *, max_completion_tokens: int, config: OverlongConfig) -> float:
    """What a completion of so many tokens loses of its reward, in [0, config.penalty].

    0 until ``buffer`` tokens before the limit, then in proportion to the tokens beyond that, all of it at the limit
    (soft overlong punishment of DAPO, arXiv 2503.14476, eq. 13).
    """
    beyond = tokens - (max_completion_tokens - config.buffer)
    return config.penalty * min(max(beyond, 0) / config.buffer, 1.0)
