"""The weights of a model as named tensors, and the checksum that tells them apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from relift.policy.lora import adapter_tensors, merged, merged_name


def weight_tensors(model: Any) -> dict[str, Any]:
    """Parameters and persistent buffers by name, sorted, each once, adapters merged: the tensors of an exported folder.

    Not copied, but for layers with an adapter.
    """
    return dict(_merged_tensors(model))


def resume_tensors(model: Any) -> dict[str, Any]:
    """What a checkpoint holds of the model, by name, sorted, not copied: its adapters where it has some, else all."""
    return adapter_tensors(model) or weight_tensors(model)


def weights_checksum(model: Any) -> str:
    """SHA-256 in hex over the names and bytes of ``weight_tensors``; equal exactly when those are bit-equal.

    With adapters it is the checksum of the merged model, so that of the exported folder.
    """
    import torch

    total = hashlib.sha256()
    for name, tensor in _merged_tensors(model):
        total.update(name.encode())
        total.update(memoryview(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy()))
    return total.hexdigest()


def _merged_tensors(model: Any) -> Iterator[tuple[str, Any]]:
    shared = {name for name, _ in model.named_parameters()} | {name for name, _ in model.named_buffers()}
    tensors = ((name, tensor.detach()) for name, tensor in model.state_dict().items() if name in shared)
    return merged(model, sorted(tensors, key=lambda named: merged_name(named[0])))
