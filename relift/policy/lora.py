"""Low-rank adapters through peft: what trains is small, what others see is the model with the adapters merged in.

    W x  becomes  W x + (alpha / rank) B A x       A: (rank, inputs), drawn; B: (outputs, rank), zero at the start

Trainer and transformers engine compute the right side; checkpoints hold A and B; checksums, exported folders and other
engines get W + (alpha / rank) B A under the name of W.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from relift import randomness
from relift.config import LoraConfig
from relift.errors import ConfigError, ModelError
from relift.policy.process_state import own_randomness

ADAPTER = "default"
A, B = f".lora_A.{ADAPTER}.weight", f".lora_B.{ADAPTER}.weight"
BASE = ".base_layer."


def require_peft() -> None:
    """Raises ConfigError when peft is not installed."""
    try:
        import peft  # noqa: F401
    except ImportError as problem:
        raise ConfigError(
            "policy.lora needs peft, which is not installed here. Install relift with its extra, "
            "pip install 'relift[lora]', or set policy.lora='off' to train all weights."
        ) from problem


def add_adapters(model: Any, config: LoraConfig, *, seed: int) -> None:
    """Put adapters on the model's linear layers, in place, and freeze all else; the function it computes is the same.

    Their first values are a function of the seed and the layer's name. Raises ModelError where no layer fits.
    """
    import peft

    chosen = target_layers(model, config.targets)
    with own_randomness():  # peft draws first values of its own, which are overwritten below
        peft.inject_adapter_in_model(
            peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, lora_dropout=0.0, target_modules=chosen), model
        )
    for name, parameter in model.named_parameters():
        if name.endswith(A):
            # The uniform distribution that linear layers start from, as in peft and the LoRA paper's code.
            bound = 1 / math.sqrt(parameter.shape[1])
            layer = name.removesuffix(A)
            values = randomness.generator(seed, "lora", layer).uniform(-bound, bound, tuple(parameter.shape))
            parameter.data.copy_(torch.from_numpy(values))


def target_layers(model: Any, targets: str | tuple[str, ...]) -> list[str]:
    """Full names of the linear layers that get adapters. Raises ModelError when there are none, or an unknown name.

    ``attention``: the projections of attention; ``linear``: every linear layer but the head; else by last name.
    """
    head = model.get_output_embeddings()
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]
    if targets == "linear":
        chosen = linear
    elif targets == "attention":
        chosen = [name for name in linear if any("attn" in part or "attention" in part for part in name.split("."))]
    else:
        chosen = [name for name in linear if name.rpartition(".")[2] in targets]
    missing = set() if isinstance(targets, str) else set(targets) - {name.rpartition(".")[2] for name in chosen}
    if missing or not chosen:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none"
        raise ModelError(
            f"policy.lora.targets={targets!r} finds no layer for {', '.join(sorted(missing)) or 'it'} in this "
            f"{model.config.model_type} model: an adapter goes on a linear layer that is not the head. Its linear "
            f"layers are called: {known}."
        )
    return chosen


@contextmanager
def without_adapters(model: Any) -> Iterator[Any]:
    """The model as it was before they were put on it; they train on after it."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield model
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def adapter_tensors(model: Any) -> dict[str, Tensor]:
    """A and B of every layer by name, sorted, not copied; empty for a model without adapters."""
    return {name: p.detach() for name, p in sorted(model.named_parameters()) if name.endswith((A, B))}


def merged(model: Any, tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Tensors of the model as one without adapters names and holds them, merged one at a time; others are passed on."""
    for name, tensor in tensors:
        if name.endswith(f"{BASE}weight"):
            yield merged_name(name), _with_adapter(model.get_submodule(name.removesuffix(f"{BASE}weight")), tensor)
        elif not name.endswith((A, B)):
            yield merged_name(name), tensor


def merged_name(name: str) -> str:
    """Of a tensor in a model without adapters."""
    return name.replace(BASE, ".")


@torch.no_grad()
def _with_adapter(layer: Any, weight: Tensor) -> Tensor:
    """In float32 whatever autocast says, so that the same adapters always give the same bits."""
    with torch.autocast(weight.device.type, enabled=False):
        merged_weight: Tensor = weight.detach() + layer.get_delta_weight(ADAPTER)
    return merged_weight
