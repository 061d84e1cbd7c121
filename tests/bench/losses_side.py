"""TRL's and verl's side of `tests.bench.losses`, in `.venv-losses`, without relift: JSON in, JSON out.

TRL: ``GRPOTrainer._compute_loss`` and ``SFTTrainer.compute_loss`` of trainers that are made as a user makes them; what
is replaced is the forward pass, which hands out the given log-probabilities. verl: ``get_policy_loss_fn`` and
``sft_loss`` of its workers, with the counts of the whole batch that its trainer passes them.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from tests.bench.rollouts import random_model
from tests.bench.trl_side import _tokenizer

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
FAR = 1e9
"""A dual clip that nothing reaches, for losses that have none: verl's cannot be switched off."""
VERL: dict[str, tuple[str, str, dict[str, float]]] = {
    "grpo": ("vanilla", "seq-mean-token-mean", {"low": 0.2, "high": 0.2, "dual": FAR}),
    "dr-grpo": ("vanilla", "seq-mean-token-sum-norm", {"low": 0.2, "high": 0.2, "dual": FAR}),
    "dapo": ("vanilla", "token-mean", {"low": 0.2, "high": 0.28, "dual": FAR}),
    "dapo, dual clip": ("vanilla", "token-mean", {"low": 0.2, "high": 0.28, "dual": 3.0}),
    "gspo": ("gspo", "seq-mean-token-mean", {"low": 3e-4, "high": 4e-4, "dual": FAR}),
    "cispo": ("cispo", "token-mean", {"low": 1.0, "high": 4.0, "dual": FAR}),
}
TRL: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo", "epsilon": 0.2},
    "dr-grpo": {"loss_type": "dr_grpo", "epsilon": 0.2},
    "dapo": {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28},
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
    "cispo": {"loss_type": "cispo", "epsilon_high": 5.0},
}
Found = tuple[float, list[list[float]]]


class Padded:
    """A batch as both libraries take it: (B, T) with a mask, padded on the right."""

    def __init__(self, sequences: list[dict[str, Any]], longest: int) -> None:
        self.lengths = [len(s["new"]) for s in sequences]
        self.new_BT = self._padded([s["new"] for s in sequences], longest).requires_grad_()
        self.old_BT = self._padded([s["old"] for s in sequences], longest)
        self.mask_BT = self._padded([[1.0] * length for length in self.lengths], longest)
        self.advantages_B = torch.tensor([s["advantage"] for s in sequences], dtype=torch.float64)

    def found(self, loss: Tensor) -> Found:
        (gradient_BT,) = torch.autograd.grad(loss, self.new_BT)
        rows = zip(gradient_BT.tolist(), self.lengths, strict=True)
        return float(loss.detach()), [row[:length] for row, length in rows]

    def _padded(self, rows: list[list[float]], longest: int) -> Tensor:
        return torch.tensor([row + [0.0] * (longest - len(row)) for row in rows], dtype=torch.float64)


def verl_losses(batches: dict[str, Padded], longest: int) -> dict[str, dict[str, Found]]:
    from verl.trainer.ppo.core_algos import get_policy_loss_fn
    from verl.workers.config import ActorConfig
    from verl.workers.utils.losses import sft_loss

    def policy(batch: Padded, kind: str, aggregation: str, clip: dict[str, float]) -> Found:
        config = ActorConfig(
            strategy="fsdp",
            rollout_n=1,
            ppo_micro_batch_size_per_gpu=1,
            clip_ratio_low=clip["low"],
            clip_ratio_high=clip["high"],
            clip_ratio_c=clip["dual"],
        )
        config.global_batch_info.update(
            dp_size=1,
            batch_num_tokens=batch.mask_BT.sum(),
            global_batch_size=len(batch.lengths),
            loss_scale_factor=longest,
        )
        advantages_BT = batch.advantages_B[:, None].expand_as(batch.new_BT)
        loss, _ = get_policy_loss_fn(kind)(
            old_log_prob=batch.old_BT,
            log_prob=batch.new_BT,
            advantages=advantages_BT,
            response_mask=batch.mask_BT,
            loss_agg_mode=aggregation,
            config=config,
        )
        return batch.found(loss)

    def supervised(batch: Padded) -> Found:
        from verl.utils.dataset.dataset_utils import DatasetPadMode

        data = Given(
            pad_mode=DatasetPadMode.RIGHT,
            dp_size=1,
            batch_num_tokens=batch.mask_BT.sum(),
            response_mask=batch.mask_BT,
        )
        loss, _ = sft_loss(None, {"log_probs": batch.new_BT}, data)
        return batch.found(loss)

    found = {name: {key: policy(batch, *how) for key, batch in batches.items()} for name, how in VERL.items()}
    return {**found, "sft": {key: supervised(batch) for key, batch in batches.items()}}


class Given(dict[str, Any]):
    """What verl's sft_loss asks of its TensorDict."""

    def __init__(self, **values: Any) -> None:
        super().__init__(values)


def trl_losses(batches: dict[str, Padded], longest: int) -> dict[str, dict[str, Found]]:
    found: dict[str, dict[str, Found]] = {}
    for name, settings in TRL.items():
        trainer = _grpo_trainer(settings, longest)
        found[name] = {}
        for key, batch in batches.items():
            trainer._get_per_token_logps_and_entropies = lambda *_, batch=batch, **__: (
                batch.new_BT,
                torch.zeros_like(batch.new_BT),
                None,
            )
            ids_BT = torch.ones_like(batch.mask_BT, dtype=torch.int64)
            inputs = {
                "prompt_ids": ids_BT[:, :1],
                "prompt_mask": ids_BT[:, :1],
                "completion_ids": ids_BT,
                "completion_mask": batch.mask_BT,
                "advantages": batch.advantages_B,
                "old_per_token_logps": batch.old_BT,
                "num_items_in_batch": batch.mask_BT.sum(),
            }
            found[name][key] = batch.found(trainer._compute_loss(trainer.model, inputs))
    trainer = _sft_trainer()
    return {**found, "sft": {key: _trl_sft(trainer, batch) for key, batch in batches.items()}}


def _trl_sft(trainer: Any, batch: Padded) -> Found:
    outputs = SimpleNamespace(
        log_probs=batch.new_BT * batch.mask_BT,
        label_mask=batch.mask_BT,
        entropy=torch.zeros(()),
        is_top1=torch.zeros(()),
    )
    inputs = {"attention_mask": batch.mask_BT}
    count = batch.mask_BT.sum()
    return batch.found(trainer.compute_loss(lambda **_: outputs, inputs, num_items_in_batch=count))


def _grpo_trainer(settings: dict[str, Any], longest: int) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        **_common(), num_generations=2, max_completion_length=longest, beta=0.0, steps_per_generation=1, **settings
    )
    trainer = GRPOTrainer(
        model=random_model("cpu"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["t3", "t4"]}),
        processing_class=_tokenizer("cpu"),
    )
    return _in_training(trainer)


def _sft_trainer() -> Any:
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        model=random_model("cpu"),
        args=SFTConfig(**_common()),
        train_dataset=Dataset.from_list([{"input_ids": [3, 4], "labels": [-100, 4]}]),
        processing_class=_tokenizer("cpu"),
    )
    return _in_training(trainer)


def _common() -> dict[str, Any]:
    folder = tempfile.mkdtemp(prefix="bench-losses-")  # asked for, and left empty
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {"output_dir": folder, "per_device_train_batch_size": 2, "use_cpu": True, "bf16": False, "report_to": "none"}


def _in_training(trainer: Any) -> Any:
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def main() -> None:
    said, out = json.load(sys.stdin), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print goes to standard error
    torch.set_num_threads(1)
    batches = {key: Padded(rows, said["longest"]) for key, rows in said["batches"].items()}
    losses = {"trl": trl_losses(batches, said["longest"]), "verl": verl_losses(batches, said["longest"])}
    versions = {name: version(name) for name in ("trl", "verl", "torch", "transformers")}
    print(json.dumps({"versions": versions, "losses": losses}), file=out, flush=True)


if __name__ == "__main__":
    main()
