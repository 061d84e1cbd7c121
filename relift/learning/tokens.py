"""What a policy loss is given and gives back.

Shapes: C tokens in the loss of a micro-batch, packed in order; S its sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTokens:
    """The tokens in the loss of one micro-batch; it may be empty, where another rank has what is left of a step."""

    logprobs_C: Tensor
    """In nats, with gradient: of the policy that is trained, at the sampling temperature, as are the others."""
    old_logprobs_C: Tensor
    """Before the update. Without another step before this one in the update they are ``logprobs_C`` detached."""
    advantages_S: Tensor
    sequence_C: Tensor
    """int64, 0..S-1: which sequence a token belongs to. Ascending."""
    loss_tokens_S: Tensor
    """How many tokens in the loss each sequence has."""
    sampling_logprobs_C: Tensor | None = None
    """Of the engine."""
    reference_logprobs_C: Tensor | None = None
    """Of the start model; None without ``rl.kl``."""
    entropy_C: Tensor | None = None
    """Of the policy at each token, in nats; with gradient where ``rl.entropy_weight`` is not 0."""

    @property
    def advantages_C(self) -> Tensor:
        return self.advantages_S[self.sequence_C]


@dataclass(frozen=True, slots=True)
class Objective:
    """What a loss makes of the tokens of a micro-batch."""

    per_token_C: Tensor
    """What is to be maximised, before the correction, the KL term and the entropy bonus."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    """(), sums over the tokens, under the same names in every micro-batch; an update reports them per trained token."""


def sequence_sums(values_C: Tensor, sequence_C: Tensor, loss_tokens_S: Tensor) -> Tensor:
    """(S,) sum of the values of each sequence's tokens; 0 for a sequence without tokens in the loss."""
    return values_C.new_zeros(loss_tokens_S.shape).index_add(0, sequence_C, values_C)
