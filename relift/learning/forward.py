"""Log-probabilities of the trained tokens.

Shapes: B sequences of a micro-batch, T tokens padded, P the tokens in the loss (packed), D hidden width, V vocabulary.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.learning.batching import MicroBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Entropy(StrEnum):
    """What to compute of the entropy: nothing, a figure to report, or a term of the loss."""

    NONE = "none"
    VALUE = "value"
    GRADIENT = "gradient"


def token_logprobs(
    model: PreTrainedModel,
    batch: MicroBatch,
    *,
    temperature: float,
    vocabulary: int,
    entropy: Entropy = Entropy.NONE,
) -> tuple[Tensor, Tensor | None]:
    """(B, T) log-probability of each token in the loss, in nats, and the entropy it was drawn at; 0 elsewhere.

    Both come from the logits of the first ``vocabulary`` ids divided by ``temperature``, in float32: padding of the
    vocabulary is never sampled, so it may hold no mass here either. The entropy is None where it is not asked for.

    Only the hidden states that predict a token in the loss go through the head, so prompts and pads cost no logits. The
    head is taken to be one linear layer; a model that does more there (soft-capping) fails the check of the trainer's
    log-probabilities against the engine's.
    """
    hidden_BTD = model.base_model(input_ids=batch.token_ids_BT, use_cache=False).last_hidden_state
    predicted_BT = batch.mask_BT.bool()
    # The state at t - 1 predicts the token at t. Position 0 has no predecessor and is never in the loss.
    logits_PV = model.get_output_embeddings()(hidden_BTD[:, :-1][predicted_BT[:, 1:]])[:, :vocabulary].float()
    if temperature != 1.0:
        logits_PV = logits_PV / temperature
    logprobs_PV = torch.log_softmax(logits_PV, dim=-1)
    logprobs_P = logprobs_PV.gather(1, batch.token_ids_BT[predicted_BT].unsqueeze(1)).squeeze(1)
    if entropy is Entropy.NONE:
        return _scatter(logprobs_P, predicted_BT), None
    with torch.set_grad_enabled(torch.is_grad_enabled() and entropy is Entropy.GRADIENT):
        entropy_P = -(logprobs_PV.exp() * logprobs_PV).sum(dim=-1)
    return _scatter(logprobs_P, predicted_BT), _scatter(entropy_P, predicted_BT)


def _scatter(values_P: Tensor, predicted_BT: Tensor) -> Tensor:
    return values_P.new_zeros(predicted_BT.shape).masked_scatter(predicted_BT, values_P)
