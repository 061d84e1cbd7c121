"""What a run has spent: the one place that sums what its phases' manifests say."""

from __future__ import annotations

from relift.records import Spent
from relift.run.recorded import GateRecord, UpdateRecord, find, phase_key
from relift.store import Store

SAMPLING = ("rollout", "trial")
"""Phases all of whose completions count. Their manifests count ``rollouts`` and ``tokens``, and what was sampled beside
the plain questions as ``guided_rollouts`` and ``guided_tokens``."""
UPDATES = ("rl_update", "sft_update")


def spent_in(store: Store, iteration: int) -> Spent:
    """In a recorded iteration; without demonstrations, of which the method's state knows whether they are new."""
    gated = find(store, phase_key(iteration, "gate"), GateRecord)
    refills = [f"rollout/{number}" for number in range(1, gated.rounds if gated else 1)]
    counts = [found.counts for phase in (*SAMPLING, *refills) if (found := store.manifest(phase_key(iteration, phase)))]
    updates = [made for phase in UPDATES if (made := find(store, phase_key(iteration, phase), UpdateRecord))]
    return Spent(
        rollouts=int(sum(c["rollouts"] + c.get("guided_rollouts", 0) for c in counts)),
        sampled_tokens=int(sum(c["tokens"] + c.get("guided_tokens", 0) for c in counts)),
    ) + spent_on(*updates)


def spent_on(*updates: UpdateRecord) -> Spent:
    """By recorded updates."""
    reports = [report for update in updates for report in update.reports]
    return Spent(
        update_flops=sum(report.flops for report in reports),
        optimizer_steps=sum(report.steps for report in reports),
        trained_tokens=sum(report.tokens for report in reports),
    )
