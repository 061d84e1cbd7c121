"""The rule that decides when to fine-tune."""

from __future__ import annotations

from dataclasses import dataclass

from relift.config import SftConfig
from relift.interleave.buffer import DemonstrationBuffer, Entry


@dataclass(frozen=True, slots=True)
class ReliftRule:
    """One supervised update for each M waiting demonstrations, at most ``max_updates_per_iteration``.

    The cap is part of the method: a supervised update after every RL update collapsed (paper, ablation). Without a
    supervised section the rule never fine-tunes, and what remains is plain GRPO.
    """

    sft: SftConfig | None

    def batches(self, buffer: DemonstrationBuffer, iteration: int) -> list[tuple[Entry, ...]]:
        """Batches of M entries, oldest first, taken from the buffer; each leaves it by ``buffer.used(batch)``."""
        batches: list[tuple[Entry, ...]] = []
        if self.sft is None:
            return batches
        while len(batches) < self.sft.max_updates_per_iteration:
            batch = buffer.take(self.sft.batch_size, iteration)
            if batch is None:
                break
            batches.append(batch)
        return batches
