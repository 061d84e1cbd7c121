"""What a run may spend, so that methods are compared at equal cost."""

from __future__ import annotations

from pydantic import Field

from relift.config.section import Section
from relift.records import Spent


class BudgetConfig(Section):
    """What a run may spend; empty: no limit. It ends at the first iteration boundary where rollouts or update_flops
    are used up, and iterations, where given, stays an upper bound."""

    rollouts: int | None = Field(None, ge=1)
    """Sampled completions, guided ones too; probes and evaluations are not counted."""
    update_flops: float | None = Field(None, gt=0)
    """FLOPs of all updates, of a forward and a backward pass over what they train on; with the rule self-distil of the
    start model's forward pass too."""
    demonstrations: int | None = Field(None, ge=0)
    """Distinct demonstrations that may be taught, by whatever way, a warm start's too; what a rule asks for beyond is
    left out. 0: none is taught."""

    def share(self, spent: Spent) -> float | None:
        """How much of rollouts or update_flops is used up, in [0, 1], the larger of them; None where both are free."""
        shares = [
            used / limit
            for used, limit in ((spent.rollouts, self.rollouts), (spent.update_flops, self.update_flops))
            if limit is not None
        ]
        return min(1.0, max(shares)) if shares else None
