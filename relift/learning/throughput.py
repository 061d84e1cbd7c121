"""How much of the machine an update used: model FLOPs, utilisation, peak memory.

Model FLOPs are those of one forward and one backward pass over what was trained on, each sequence whole, whatever was
computed twice or, on a CPU, once for several sequences (PaLM, arXiv 2204.02311, appendix B): 6 per parameter and token,
and 12 * layers * width per token and token attended to. What the start model reads to be distilled from is a forward
pass alone, a third of that; what it reads for a KL term is not counted.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch.nn import Parameter
    from transformers import PreTrainedModel

# Dense bfloat16, by the maker's data sheets, in FLOP/s; the first name found in the device's name counts.
PEAK_BFLOAT16 = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def update_flops(model: PreTrainedModel, lengths: Iterable[int]) -> float:
    """Model FLOPs of one forward and backward pass over sequences of these lengths in tokens.

    A token attends to half of its sequence on average. Embeddings are looked up, not multiplied: they count only where
    they are the output head as well. A frozen parameter costs 4 a token, since it needs no gradient of its own (LoRA).
    """
    per_token = sum((6 if p.requires_grad else 4) * p.numel() for p in _multiplied(model))
    return _flops(lengths, per_token=per_token, per_pair=12 * _attended(model))


def forward_flops(model: PreTrainedModel, lengths: Iterable[int]) -> float:
    """The same of a forward pass alone."""
    per_token = sum(2 * p.numel() for p in _multiplied(model))
    return _flops(lengths, per_token=per_token, per_pair=4 * _attended(model))


def _flops(lengths: Iterable[int], *, per_token: int, per_pair: int) -> float:
    return sum(length * (per_token + per_pair * length / 2) for length in lengths)


def _multiplied(model: PreTrainedModel) -> list[Parameter]:
    looked_up = None if model.config.get_text_config().tie_word_embeddings else model.get_input_embeddings().weight
    return [parameter for parameter in model.parameters() if parameter is not looked_up]


def _attended(model: PreTrainedModel) -> int:
    """Layers * width, of the heads together."""
    config = model.config.get_text_config()
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    return int(layers * heads * head_width)


def peak_flops(device: torch.device) -> float | None:
    """FLOP/s at most of a bfloat16 forward pass, dense; None in float32 and on a device that is not known."""
    if device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in PEAK_BFLOAT16.items() if known in name), None)


def peak_memory(device: torch.device) -> int:
    """Bytes at most since the process started: the allocator's on a GPU, else the resident set."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib if sys.platform == "darwin" else kib * 1024


def free_memory(device: str) -> int:
    """Bytes that nobody holds now, where the device's tensors lie."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # not every system tells
        return 4 << 30
