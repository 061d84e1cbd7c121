"""Rounds of an iteration: with ``sampling.refill`` questions are asked until a batch of groups has signal.

    rollout, verify       the batch
    rollout/1, verify/1   of the next questions of the order, as many as should do by the share that had signal so far;
    ...                   until there are enough, or as many were asked as the cap says

One reference stands for all rounds of a phase (``PhaseRef.rounds``), so that whoever reads it reads them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from relift.config import RunConfig
from relift.records import PhaseRef, RolloutGroup
from relift.store import Store
from relift.store.manifest import digest


def next_round(config: RunConfig, rollouts: PhaseRef, verdicts: PhaseRef) -> int:
    """How many questions the next round asks; 0 where there is none."""
    refill, batch = config.sampling.refill, config.questions.batch_size
    if refill is None or not (missing := lacking(config, verdicts)):
        return 0
    asked, signal = int(rollouts.counts["questions"]), int(verdicts.counts["signal"])
    likely = math.ceil(missing * asked / signal) if signal else batch
    return min(likely, batch, refill.cap * batch - asked)


def lacking(config: RunConfig, verdicts: PhaseRef) -> int:
    """Groups with signal that the RL batch is short of; 0 without refill."""
    return max(0, config.questions.batch_size - int(verdicts.counts["signal"])) if config.sampling.refill else 0


def rl_groups(config: RunConfig, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
    """The groups of the RL batch: all; with refill the first B with signal, as DAPO drops the surplus. Where none has
    any it is the batch, whose groups move nothing by themselves."""
    if config.sampling.refill is None:
        return groups
    size = config.questions.batch_size
    return [group for group in groups if group.has_signal][:size] or groups[:size]


def with_round(before: PhaseRef, added: PhaseRef) -> PhaseRef:
    """One reference to all rounds: the digest of both, and the sums of their counts."""
    names = sorted(before.counts.keys() | added.counts.keys())
    return PhaseRef(
        key=before.key,
        sha256=digest(before.sha256, added.sha256),
        counts={name: before.counts.get(name, 0) + added.counts.get(name, 0) for name in names},
        reused=before.reused and added.reused,
        rounds=before.rounds + 1,
    )


def recorded_rounds(store: Store, key: str, rounds: int) -> PhaseRef:
    """The same, of recorded rounds, without counts."""
    found = PhaseRef(key=key, sha256=store.manifest_sha256(key))
    for number in range(1, rounds):
        added = f"{key}/{number}"
        found = with_round(found, PhaseRef(key=added, sha256=store.manifest_sha256(added)))
    return found
