"""Snapshot the run between two iterations."""

from __future__ import annotations

from relift.records import CheckpointRef, PolicyVersion
from relift.run import checkpoint as snapshots
from relift.run.recorded import iteration_of
from relift.run.run import Run
from relift.store.manifest import digest
from relift.store.uris import is_bucket

OF_REPLAY = frozenset({"rollout", "probe", "verify", "gate", "source", "rl_update", "trial", "sft_update"})


def checkpoint(run: Run, iteration: int, version: PolicyVersion) -> CheckpointRef:
    """Everything that is needed to go on with ``iteration``, and a ledger snapshot for readers; old ones are retired.

    The key names its iteration: a checkpoint that is there is kept as it is.
    """
    key = snapshots.checkpoint_key(iteration)
    inputs = digest(run.fingerprint, iteration, version.checksum)
    manifest = run.store.manifest(key)
    if manifest is not None and manifest.inputs == inputs:
        return CheckpointRef(
            key=key, sha256=run.store.manifest_sha256(key), iteration=iteration, version=version.number
        )
    run.policy.at(version)
    snapshot = snapshots.Snapshot(
        iteration=iteration,
        version=version,
        interleaving=run.interleaving.to_json(),
        order=run.order.to_json(),
        spent=run.spent,
    )
    _publish(run)
    ref = snapshots.write_checkpoint(run.store, run.policy, snapshot, inputs=inputs)
    best = run.best_iteration()
    others = [*([] if best is None else [best]), *([0] if _is_start_needed(run) else [])]
    snapshots.retire(run.store, keep=run.config.checkpoint.keep, others=others)
    _drop_old_rollouts(run)
    return ref


def _publish(run: Run) -> None:
    """Whoever resumes from the checkpoint has to find in the ledger everything that came before it.

    In a folder that is the ledger itself, and readers get their snapshot meanwhile. In a bucket it is the snapshot.
    """
    if is_bucket(run.store.uri):
        run.publish()
    else:
        run.publish_beside()


def _is_start_needed(run: Run) -> bool:
    """Whether updates compare with what the warm start came to: its checkpoint holds that."""
    return bool(run.config.warm_start and run.compares_with_start)


def _drop_old_rollouts(run: Run) -> None:
    """Rollouts are the log since the oldest kept checkpoint; what came before it can no longer be replayed."""
    keys = run.store.keys("checkpoints")
    if _is_start_needed(run) and len(keys) > run.config.checkpoint.keep:
        keys = keys[1:]  # that of the start is kept for its weights alone
    oldest = snapshots.read_snapshot(run.store, keys[0]).iteration
    found = (key.split("/") for key in run.store.folders("iterations"))
    run.store.remove(
        *("/".join(key) for key in found if 0 <= (iteration_of(key[1]) or 0) < oldest and key[2] in OF_REPLAY),
    )
