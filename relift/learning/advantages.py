"""Group advantages of GRPO. Shapes: G rollouts of one question."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def group_advantages(rewards_G: Tensor, graded_G: Tensor, scale: Literal["none", "std"]) -> Tensor:
    """(G,) distance of each reward to the mean of the graded ones; 0 where ungraded (any reward there is ignored).

    ``std`` divides by the graded rewards' standard deviation (N-1 form) plus 1e-6. Exactly 0 everywhere, not merely
    close to it, when one rollout is graded or all graded ones agree: these zeros say which groups have no signal.
    """
    graded = rewards_G[graded_G.bool()]
    advantages_G = torch.zeros_like(rewards_G)
    if graded.numel() < 2 or bool((graded == graded[0]).all()):
        return advantages_G
    centred = graded - graded.mean()
    advantages_G[graded_G.bool()] = centred / (graded.std(correction=1) + 1e-6) if scale == "std" else centred
    return advantages_G
