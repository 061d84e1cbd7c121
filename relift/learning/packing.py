"""Which tokens of a micro-batch belong together. Shapes: P tokens packed, S sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.learning.branches import Span

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


class Packing:
    """Which tokens of a micro-batch belong together; see ``Span``.

    It travels to the layers as an argument, so that activation checkpointing hands them the same one again.
    """

    def __init__(self, spans: Sequence[Span], device: torch.device) -> None:
        self.spans = spans
        self.longest = max(span.stop - span.start + span.prefix_stop - span.prefix_start for span in spans)
        self.device = device
        self._bounds: Tensor | None = None
        self._block_masks: dict[int | None, BlockMask] = {}

    @property
    def lengths(self) -> list[int]:
        """Of whole sequences, one after the other."""
        assert all(span.prefix_start == span.prefix_stop for span in self.spans), "this attention cannot share prompts"
        return [span.stop - span.start for span in self.spans]

    def bounds(self) -> Tensor:
        """(S + 1,) int32, the first token of each sequence and, at the end, P."""
        if self._bounds is None:
            ends = torch.tensor([0, *self.lengths]).cumsum(0)
            self._bounds = ends.to(self.device, torch.int32)
        return self._bounds

    def block_mask(self, window: int | None) -> BlockMask:
        """Causal within each sequence; made once for all layers of a kind."""
        if window not in self._block_masks:
            from torch.nn.attention.flex_attention import create_block_mask  # slow to import, and for a GPU alone

            lengths = self.lengths
            total = sum(lengths)
            sequence_P = torch.repeat_interleave(torch.tensor(lengths)).to(self.device)

            def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
                allowed = (sequence_P[query] == sequence_P[key]) & (key <= query)
                return allowed if window is None else allowed & (key > query - window)

            self._block_masks[window] = create_block_mask(sees, None, None, total, total, device=self.device)
        return self._block_masks[window]


def can_share_prompts(device: torch.device) -> bool:
    """Whether attention there can read packs with shared prompts. The kernels for a GPU take whole sequences."""
    return device.type == "cpu"
