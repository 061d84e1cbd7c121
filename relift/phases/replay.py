"""Making a recorded policy version resident again: newest checkpoint, then replay (contract 3)."""

from __future__ import annotations

import logging

from relift import checkpoint
from relift.errors import StoreError
from relift.phases import rl_update, sft_update
from relift.phases.phase import place_of
from relift.phases.updates import committed_version
from relift.policy.resident import Policy
from relift.records import PhaseRef, PolicyVersion, UpdateKind
from relift.run import Run

log = logging.getLogger(__name__)


def materialise(run: Run, policy: Policy, version: PolicyVersion) -> None:
    """Put the weights and optimizer states of a version into the policy, without sampling anything.

    Raises StoreError when an update between the checkpoint and the version is not recorded.
    """
    reached, start = _load_start(run, policy, version)
    iteration = start
    while reached < version.number:
        run.stop.check()
        if iteration > version.iteration:
            raise StoreError(
                f"policy version {version.number} cannot be made: the updates after version {reached} are not recorded "
                f"in {run.root}. Its checkpoints or rollouts were removed; start anew with --fresh."
            )
        for kind in (UpdateKind.RL, UpdateKind.SFT):
            if reached < version.number:
                reached = _redo(run, policy, iteration, kind, reached)
        iteration += 1


def _load_start(run: Run, policy: Policy, version: PolicyVersion) -> tuple[int, int]:
    """(version number, iteration) of the snapshot to start from; the base model where no checkpoint is early enough."""
    for place in reversed(run.store.places("checkpoints")):
        snapshot = checkpoint.read_snapshot(run.store, place)
        if snapshot.version.number <= version.number:  # versions only ever grow with iterations
            checkpoint.load_checkpoint(run.store, place, policy)
            policy.settle(snapshot.version)
            return snapshot.version.number, snapshot.iteration
    run.load_base(policy)
    return 0, 0


def _redo(run: Run, policy: Policy, iteration: int, kind: UpdateKind, reached: int) -> int:
    """Replay one recorded update, compare the weights with the record, and return the version reached."""
    place = place_of(iteration, f"{kind}_update")
    manifest = run.store.manifest(place)
    if manifest is None or not manifest.facts["moved"]:
        return reached
    log.info("replaying %s of iteration %d", f"{kind}_update", iteration)
    redo = manifest.facts["redo"]
    if kind is UpdateKind.RL:
        refs = [PhaseRef(uri=redo[phase], sha256="") for phase in ("rollout", "verify")]
        rl_update.perform(run, refs[0], refs[1], redo["lr"])
    else:
        sft_update.perform(run, iteration, sft_update.recorded_rows(run, place), redo["lr"])
    made = committed_version(run, PhaseRef(uri=place, sha256=""))
    policy.settle(made)
    return made.number
