"""A key-value cache for batched sampling. H: key-value heads, B: sequences, T: tokens, D: head width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # the library is not typed for strict checks
    """A cache layer with storage ahead of need.

    The library's growing layer copies the whole cache at every token; this one copies only when it doubles.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self._keys_BHTD: Tensor | None = None
        self._values_BHTD: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        if self._keys_BHTD is None or self._values_BHTD is None or end > self._keys_BHTD.shape[-2]:
            self._grow(key_states, value_states, end)
        assert self._keys_BHTD is not None and self._values_BHTD is not None
        self._keys_BHTD[:, :, self.length : end] = key_states
        self._values_BHTD[:, :, self.length : end] = value_states
        self.length = end
        self._view()
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        assert self._keys_BHTD is not None and self._values_BHTD is not None
        self._keys_BHTD = self._keys_BHTD.repeat_interleave(repeats, dim=0)
        self._values_BHTD = self._values_BHTD.repeat_interleave(repeats, dim=0)
        self._view()

    def batch_select_indices(self, indices: Tensor) -> None:
        assert self._keys_BHTD is not None and self._values_BHTD is not None
        self._keys_BHTD = self._keys_BHTD[indices]
        self._values_BHTD = self._values_BHTD[indices]
        self._view()

    def get_seq_length(self) -> int:
        return self.length

    def _grow(self, key_states: Tensor, value_states: Tensor, end: int) -> None:
        self.capacity = max(self.capacity, end, 2 * self.length)
        # Values may be narrower than keys (DeepSeek's latent attention).
        keys, values = (t.new_zeros((*t.shape[:2], self.capacity, t.shape[3])) for t in (key_states, value_states))
        if self._keys_BHTD is not None and self._values_BHTD is not None:
            keys[:, :, : self.length] = self._keys_BHTD[:, :, : self.length]
            values[:, :, : self.length] = self._values_BHTD[:, :, : self.length]
        self._keys_BHTD, self._values_BHTD = keys, values

    def _view(self) -> None:
        assert self._keys_BHTD is not None and self._values_BHTD is not None
        self.keys = self._keys_BHTD[:, :, : self.length]
        self.values = self._values_BHTD[:, :, : self.length]


def sampling_cache(layer_count: int, capacity: int) -> Cache:
    """An empty cache for that many layers, with room for ``capacity`` tokens a sequence before it first grows."""
    return Cache(layers=[RoomyLayer(capacity) for _ in range(layer_count)])


def left_padded(sequences: list[tuple[int, ...]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(B, T) token ids and (B, T) bool mask. Position -1 is the last prompt token in every row."""
    width = max(len(s) for s in sequences)
    token_ids_BT = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    mask_BT = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        token_ids_BT[row, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        mask_BT[row, width - len(sequence) :] = True
    return token_ids_BT.to(device), mask_BT.to(device)
