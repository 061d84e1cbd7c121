"""Making a recorded policy version resident again: newest checkpoint, then replay (contract 3)."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from relift.errors import StoreError
from relift.phases import rl_update, sft_update, warm_start
from relift.phases.batch import batch_of
from relift.phases.rounds import recorded_rounds
from relift.phases.updates import committed_version
from relift.policy.policy import Policy
from relift.records import PolicyVersion, UpdateKind, UpdateReport
from relift.run import checkpoint
from relift.run.recorded import WARM_START, GateRecord, UpdateRecord, find, phase_key, read
from relift.run.run import Run

log = logging.getLogger(__name__)


def materialise(run: Run, policy: Policy, version: PolicyVersion) -> None:
    """Put the weights and optimizer states of a version into the policy, without sampling anything.

    The states are those before the next version's update: recorded updates that took no step are counted in their
    optimizer's history. Raises StoreError when an update between the checkpoint and the version is not recorded.
    """
    reached, start = _load_start(run, policy, version)
    for iteration, key, update in _recorded_updates(run, start):
        is_before = iteration == WARM_START
        if not update.moved:
            _count(policy.warm_start if is_before else policy.optimizers[update.reports[0].kind], update.reports)
        elif reached == version.number:
            return
        else:
            reached = _redo(run, policy, iteration, key, update)
    if reached < version.number:
        raise StoreError(
            f"policy version {version.number} cannot be made: the updates after version {reached} are not recorded "
            f"in {run.root}. Its checkpoints or rollouts were removed; start anew with --fresh."
        )


def _recorded_updates(run: Run, start: int) -> Iterator[tuple[int, str, UpdateRecord]]:
    """(iteration, key, record) from an iteration on, in their order, up to the first that is not recorded."""
    if start == WARM_START and run.config.warm_start:
        keys = [phase_key(WARM_START, f"{epoch:05d}") for epoch in range(run.config.warm_start.updates)]
        yield from ((WARM_START, key, update) for key in keys if (update := find(run.store, key, UpdateRecord)))
    for iteration in itertools.count(max(0, start)):
        run.stop.check()
        if run.store.manifest(phase_key(iteration, "gate")) is None:  # with rl off there is no RL update
            return
        keys = [phase_key(iteration, f"{kind}_update") for kind in (UpdateKind.RL, UpdateKind.SFT)]
        yield from ((iteration, key, update) for key in keys if (update := find(run.store, key, UpdateRecord)))


def _load_start(run: Run, policy: Policy, version: PolicyVersion) -> tuple[int, int]:
    """(version number, iteration) of the snapshot to start from; the base model where no checkpoint is early enough."""
    for key in reversed(run.store.keys("checkpoints")):
        snapshot = checkpoint.read_snapshot(run.store, key)
        if snapshot.version.number <= version.number:  # versions only ever grow with iterations
            checkpoint.load_checkpoint(run.store, key, policy)
            policy.settle(snapshot.version)
            return snapshot.version.number, snapshot.iteration
    run.load_base(policy)
    return 0, run.first


def _redo(run: Run, policy: Policy, iteration: int, key: str, update: UpdateRecord) -> int:
    """Replay one recorded update, compare the weights with the record, and return the version reached."""
    log.info("replaying %s", key)
    if iteration == WARM_START:
        warm_start.perform(run, int(key.rpartition("/")[2]), update.lr)
    elif update.reports[0].kind is UpdateKind.RL:
        rounds = read(run.store, update.gated, GateRecord).rounds if update.gated else 1
        rollouts, verdicts = (recorded_rounds(run.store, one, rounds) for one in (update.rollouts, update.verdicts))
        # Not kept: the iteration that needs the weights has its own to go on with.
        batch = batch_of(run, iteration, rollouts, verdicts, keep=False)
        rl_update.perform(run, batch, update, rl_update.recorded_rows(run, key))
    else:
        sft_update.perform(run, iteration, sft_update.recorded_rows(run, key), update.lr)
    made = committed_version(run, key)
    policy.settle(made)
    return made.number


def _count(optimizer: Any, reports: Iterable[UpdateReport]) -> None:
    """What a recorded update without any step taken left in its optimizer's history."""
    from relift.learning.optimizers import history_of

    history = history_of(optimizer)
    history.skipped += sum(report.skipped for report in reports)
    history.refused += sum(report.refused for report in reports)
