"""A policy that is killed and made again from its checkpoint goes on bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from relift.config import AdamConfig, LoraConfig, PolicyConfig
from relift.errors import StoreError
from relift.learning import build_optimizer, optimizer_tensors
from relift.learning.optimizers import StepHistory, history_of
from relift.learning.steps import Tally, optimizer_step, skip_steps
from relift.policy.model import autocast, load_model
from relift.policy.policy import Policy
from relift.policy.weights import weights_checksum
from relift.records import PolicyVersion, UpdateKind
from relift.run.checkpoint import (
    STATE,
    WEIGHTS,
    Snapshot,
    checkpoint_key,
    load_checkpoint,
    read_snapshot,
    write_checkpoint,
)
from relift.store import FolderStore
from tests.policy.training import demonstrations, loss_of

RL, SFT = UpdateKind.RL, UpdateKind.SFT
LORA = LoraConfig(rank=4, alpha=8)
SETTINGS = {
    "all weights": PolicyConfig(model="random-bytes"),
    "adapters": PolicyConfig(model="random-bytes", lora=LORA),
    "adapters, bfloat16, recomputed": PolicyConfig(
        model="random-bytes", lora=LORA, dtype="bfloat16", activation_checkpointing=2
    ),
}
KILLED_AT = 18


def new_policy(config: PolicyConfig, *, shared: bool = False) -> Policy:
    torch.set_num_threads(1)
    model, student = load_model(config, seed=3)
    rl = build_optimizer(model, AdamConfig(lr=0.003))
    sft = rl if shared else build_optimizer(model, AdamConfig(lr=0.01, beta2=0.99))
    return Policy(model, student, {RL: rl, SFT: sft})


def train(policy: Policy, steps: range) -> list[bool]:
    """RL and SFT in turn; which steps were taken. Step 18 and 25 have a gradient thirty times the usual one."""
    taken = []
    for number in steps:
        optimizer = policy.optimizers[RL if number % 2 else SFT]
        scale = 30.0 if number in (18, 25) else 1.0
        with autocast(policy.student.config, "cpu"):
            parts = (scaled(part, scale) for part in loss_of(policy.model, demonstrations(number)))
            config = AdamConfig(skip_spike=6.0)
            taken.append(
                optimizer_step(policy.model, optimizer, parts, config=config, tally=Tally(), check=lambda: None)
            )
        if number == 4:
            skip_steps(optimizer, 2, Tally())
    return taken


def scaled(part: Any, scale: float) -> Any:
    return dataclasses.replace(part, loss=part.loss * scale)


def everything(policy: Policy) -> dict[str, torch.Tensor]:
    """Every parameter and every tensor of both optimizers."""
    found = {f"model.{name}": p.detach().clone() for name, p in policy.model.named_parameters()}
    for kind, optimizer in policy.optimizers.items():
        found |= {f"{kind}.{name}": t.clone() for name, t in optimizer_tensors(optimizer).items()}
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def keep(policy: Policy, store: FolderStore) -> str:
    """The key of a checkpoint of the policy as it is."""
    version = PolicyVersion(number=7, checksum=policy.moved_to(7), parent=6, iteration=4, kind=SFT)
    snapshot = Snapshot(iteration=5, version=version, interleaving={"a": 1}, order={"iteration": 5})
    ref = write_checkpoint(store, policy, snapshot, inputs="x")
    assert ref.key == checkpoint_key(5)
    return ref.key


@pytest.mark.parametrize("shared", [False, True], ids=["two optimizers", "a shared one"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_killed_and_resumed_training_ends_in_the_same_bits(settings: str, shared: bool, tmp_path: Path) -> None:
    config, store = SETTINGS[settings], FolderStore(tmp_path)
    straight = new_policy(config, shared=shared)
    train(straight, range(KILLED_AT))
    key = keep(straight, store)
    expected = train(straight, range(KILLED_AT, 30))

    resumed = new_policy(config, shared=shared)
    load_checkpoint(store, key, resumed)
    resumed.settle(read_snapshot(store, key).version)
    # The steps refused are judged by norms from before the kill.
    assert train(resumed, range(KILLED_AT, 30)) == expected == [number not in (18, 25) for number in range(18, 30)]
    assert same(everything(resumed), everything(straight))
    assert weights_checksum(resumed.model) == weights_checksum(straight.model)
    found = history_of(resumed.optimizers[SFT])
    assert (found.taken, found.skipped, found.refused) == ((28, 2, 2) if shared else (14, 2, 1))
    assert len(store.manifest(key).files) == (3 if shared else 4)  # type: ignore[union-attr]


def test_a_checkpoint_with_adapters_holds_them_and_no_other_weights(tmp_path: Path) -> None:
    policy, store = new_policy(SETTINGS["adapters"]), FolderStore(tmp_path)
    train(policy, range(2))
    held = load_file(store.checked_path(keep(policy, store), WEIGHTS))
    assert held.keys() == {name for name, p in policy.model.named_parameters() if p.requires_grad}
    assert all(".lora_" in name for name in held)


def test_a_checkpoint_without_step_history_loads_and_begins_a_new_one(tmp_path: Path) -> None:
    policy, store = new_policy(SETTINGS["all weights"]), FolderStore(tmp_path)
    train(policy, range(4))
    key = keep(policy, store)
    moments = {}
    files: dict[str, Any] = {name: store.checked_path(key, name).read_bytes() for name in (WEIGHTS, STATE)}
    for kind in (RL, SFT):
        name = f"optimizer_{kind}.safetensors"
        tensors = load_file(store.checked_path(key, name))
        moments[kind] = {key: t for key, t in tensors.items() if not key.startswith("history")}
        assert len(moments[kind]) == len(tensors) - 2
        files[name] = lambda path, older=moments[kind]: save_file(older, path)
    store.publish("checkpoints/00006", files, inputs="x", facts={})
    older = new_policy(SETTINGS["all weights"])
    load_checkpoint(store, "checkpoints/00006", older)
    for kind, optimizer in older.optimizers.items():
        assert history_of(optimizer) == StepHistory()
        assert same(optimizer_tensors(optimizer), moments[kind])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (PolicyConfig(model="random-bytes"), "not this model's"),
        (PolicyConfig(model="random-bytes", lora=LoraConfig(rank=4, targets="attention")), "not this model's"),
        (PolicyConfig(model="random-bytes", lora=LoraConfig(rank=1)), "other shapes"),
    ],
    ids=["no adapters", "fewer adapters", "another rank"],
)
def test_a_checkpoint_of_other_adapters_is_refused_and_changes_nothing(
    other: PolicyConfig, said: str, tmp_path: Path
) -> None:
    policy, store = new_policy(SETTINGS["adapters"]), FolderStore(tmp_path)
    key = keep(policy, store)
    wrong = new_policy(other)
    before = everything(wrong)
    with pytest.raises(StoreError, match=said):
        load_checkpoint(store, key, wrong)
    assert same(everything(wrong), before)
