"""Ids that no token has, between those of a tokenizer: never sampled, and without probability in any loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relift.errors import ModelError

NEVER = -1e4
"""A logit that leaves exactly no probability in float32 and in bfloat16, and is finite: an entropy takes 0 times it."""


def mask_holes(model: Any, holes: Sequence[int]) -> None:
    """Give the model's head a bias that rules these ids out, for the engine, the trainer and ``generate`` alike.

    It is no parameter and is not saved: nothing trains it, and an exported model is as it came. Raises ModelError where
    the head has a bias of its own or bounds its logits, which would let the ids back in.
    """
    import torch

    if not holes:
        return
    head = model.get_output_embeddings()
    softcap = getattr(model.config, "final_logit_softcapping", None)
    if not isinstance(head, torch.nn.Linear) or head.bias is not None or softcap is not None:
        raise ModelError(
            f"the tokenizer has no token for {len(holes)} of its ids ({', '.join(map(str, holes[:5]))}...), and "
            f"{model.config.model_type} has a head in which these cannot be ruled out: they could be sampled and mean "
            f"nothing. Add tokens with these ids to the tokenizer, such as <|unused_{holes[0]}|>."
        )
    bias_V = torch.zeros(head.out_features)
    bias_V[list(holes)] = NEVER
    del head.bias
    head.register_buffer("bias", bias_V, persistent=False)
