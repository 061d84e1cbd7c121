"""Checkpoints: everything that resuming needs, written whole.

    weights.safetensors                weights; with adapters those alone, the rest is the base model's
    optimizer_<rl | sft>.safetensors   moments, step counts and step history of each optimizer, a shared one once
    state.json                         iteration, policy version, the state of method and order, what was spent

A checkpoint is a snapshot, the recorded rollouts are the log (contract 3): a resumed run loads the newest checkpoint
and replays what was recorded after it. Tensors are safetensors; nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relift.errors import StoreError
from relift.policy.policy import Policy
from relift.policy.weights import resume_tensors
from relift.records import CheckpointRef, PolicyVersion, Spent, UpdateKind
from relift.run.recorded import version_from_json
from relift.store import Store

WEIGHTS = "weights.safetensors"
STATE = "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a checkpoint holds beside tensors."""

    iteration: int
    """The first iteration that has not run yet."""
    version: PolicyVersion
    interleaving: dict[str, Any]
    """JSON of the method's state."""
    order: dict[str, Any]
    """JSON of the order of questions."""
    spent: Spent = field(default_factory=Spent)


def checkpoint_key(iteration: int) -> str:
    return f"checkpoints/{iteration:05d}"


def write_checkpoint(store: Store, policy: Policy, snapshot: Snapshot, *, inputs: str) -> CheckpointRef:
    """Publish a checkpoint before ``snapshot.iteration``; the policy must hold the snapshot's version."""
    from safetensors.torch import save_file

    from relift.learning import optimizer_tensors

    assert policy.version == snapshot.version.number
    tensors = {k: v.cpu().contiguous() for k, v in resume_tensors(policy.model).items()}
    files: dict[str, Any] = {
        WEIGHTS: lambda path: save_file(tensors, path),
        # Not sorted: the order of its dictionaries belongs to the state of a rule.
        STATE: (json.dumps(_state(snapshot)) + "\n").encode(),
    }
    for kind, optimizer in _distinct(policy).items():
        state = {k: v.cpu().contiguous() for k, v in optimizer_tensors(optimizer).items()}
        files[_optimizer_file(kind)] = lambda path, state=state: save_file(state, path)
    key = checkpoint_key(snapshot.iteration)
    manifest = store.publish(key, files, inputs=inputs, facts={"version": snapshot.version.number})
    return CheckpointRef(
        key=key,
        sha256=store.manifest_sha256(key),
        iteration=snapshot.iteration,
        version=snapshot.version.number,
        counts={"bytes": sum(entry.bytes for entry in manifest.files)},
    )


def read_snapshot(store: Store, key: str) -> Snapshot:
    """Raises StoreError when the file does not match its manifest."""
    try:
        tree = json.loads(store.read(key, STATE))
        return Snapshot(
            iteration=tree["iteration"],
            version=version_from_json(tree["version"]),
            interleaving=tree["interleaving"],
            order=tree["order"],
            spent=Spent(**tree["spent"]),
        )
    except (KeyError, TypeError) as problem:
        raise StoreError(f"{key}/{STATE} is not of this version of relift ({problem})") from problem


def load_checkpoint(store: Store, key: str, policy: Policy) -> None:
    """Put a checkpoint's weights and optimizer states into the policy."""
    from safetensors.torch import load_file

    from relift.learning import load_optimizer_tensors

    tensors = load_file(store.checked_path(key, WEIGHTS))
    put_weights(policy.model, tensors)
    for kind, optimizer in _distinct(policy).items():
        load_optimizer_tensors(optimizer, load_file(store.checked_path(key, _optimizer_file(kind))))


def put_weights(model: Any, tensors: dict[str, Any]) -> None:
    """Copy ``resume_tensors`` by name into the model; every tensor must be there and no other, in its shape."""
    own = resume_tensors(model)
    if own.keys() != tensors.keys():
        raise StoreError(f"the checkpoint's tensors are not this model's: {sorted(own.keys() ^ tensors.keys())[:5]}")
    other = [name for name, tensor in own.items() if tensor.shape != tensors[name].shape]
    if other:
        raise StoreError(f"the checkpoint's tensors have other shapes than this model's: {other[:5]}")
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def retire(store: Store, *, keep: int, others: Iterable[int] = ()) -> list[str]:
    """Remove checkpoints but the ``keep`` newest and those at ``others``, iterations; the keys removed."""
    keys = store.keys("checkpoints")
    kept = set(keys[-keep:]) | set(map(checkpoint_key, others))
    removed = [key for key in keys if key not in kept]
    store.remove(*removed)
    store.sweep("checkpoints")
    return removed


def newest(store: Store, *, at_most: int | None = None) -> str | None:
    """The key of the newest checkpoint whose iteration is at most the given one."""
    keys = [p for p in store.keys("checkpoints") if at_most is None or int(Path(p).name) <= at_most]
    return keys[-1] if keys else None


def _distinct(policy: Policy) -> dict[UpdateKind, Any]:
    """Each optimizer once, under the first update that uses it."""
    found: dict[int, tuple[UpdateKind, Any]] = {}
    for kind, optimizer in policy.optimizers.items():
        found.setdefault(id(optimizer), (kind, optimizer))
    return dict(found.values())


def _optimizer_file(kind: UpdateKind) -> str:
    return f"optimizer_{kind}.safetensors"


def _state(snapshot: Snapshot) -> dict[str, Any]:
    version = asdict(snapshot.version)
    version.pop("phase")
    return {
        "iteration": snapshot.iteration,
        "version": version,
        "interleaving": snapshot.interleaving,
        "order": snapshot.order,
        "spent": asdict(snapshot.spent),
    }
