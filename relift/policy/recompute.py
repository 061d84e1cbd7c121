"""Activation checkpointing: fewer activations kept for the backward pass, which computes them again.

The library's own switch works in training mode alone, where dropout would draw from the global generator; updates run
in evaluation mode. So the layers' forward is wrapped here; modules and parameters keep their names.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from relift.errors import ModelError


def recompute_layers(model: Any, every: int) -> int:
    """Let every k-th decoder layer, from the first on, keep its input alone; how many layers that are.

    Only where gradients are recorded: sampling and measuring are as before. Raises ModelError for a model whose layers
    cannot be told.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ModelError(
            f"policy.activation_checkpointing={every}, but this {model.config.model_type} model has no layers that "
            f"transformers knows how to recompute. Set policy.activation_checkpointing='off'."
        )
    chosen = layers[::every]
    for layer in chosen:
        # A bound method, unlike a closure, follows a deep copy of the model to the copied layer.
        layer.forward = MethodType(_recomputed, layer)
    return len(chosen)


def _recomputed(layer: Any, *args: Any, **kwargs: Any) -> Any:
    forward = type(layer).forward
    # A cache would be written a second time in the backward pass.
    if not torch.is_grad_enabled() or kwargs.get("past_key_values") is not None:
        return forward(layer, *args, **kwargs)
    return checkpoint(forward, layer, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
