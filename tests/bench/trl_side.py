"""TRL's side of `tests.bench.trainer`: one update per request. Runs in `.venv-trl`, without relift.

Timed is all that lies between recorded rollouts and moved weights. RL: from the return of `rollout_func`, which hands
the recorded token ids over, through TRL's rewards, advantages and padding, to after the optimizer step; start-up, the
loading of prompts and saving are outside. Supervised: from the first micro-batch to after the optimizer step; packing,
padding and loading are outside. Nothing of TRL's mathematics is touched: the gradient norm, computed after the clock
has stopped, has to be relift's.

A job names the layout. RL: "one-batch", all 512 rollouts generated together, shuffled, padded to the longest of them
(what TRL makes of its defaults); "by-group", a generation batch per micro-batch, questions in order of length;
"sorted", which TRL cannot be told to do and which replaces its shuffle by sorting all rollouts by length and cuts each
micro-batch to its own longest. Supervised: "padded", "padding-free" (both sorted by length) or "bfd" with its length.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from typing import Any

import torch
from transformers import TrainerCallback

from tests.bench.peak import Peak
from tests.bench.rollouts import EOS, LONGEST, PAD, SAMPLES, SHAPES, Recorded, equal, random_model, skewed
from tests.bench.sides import Channel

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"


def main() -> None:
    job = json.loads(sys.argv[1])
    channel = Channel()
    torch.set_num_threads(1)
    trainer = (_grpo if job["kind"] == "rl" else _sft)(job, channel)
    names = ("trl", "torch", "transformers", "accelerate")
    channel.say(versions={name: version(name) for name in names})
    trainer.train()


class Clock(TrainerCallback):
    """Waits for a request before an update and answers it after the optimizer step."""

    def __init__(self, channel: Channel, *, peak_of: Any = None) -> None:
        self._channel = channel
        self._began: float | None = None
        self._processor_began = 0.0
        self._peak_of = peak_of
        self._peak: Peak | None = None

    def start(self) -> None:
        """Of an update; without effect while one runs."""
        if self._began is not None:
            return
        self._channel.wait()
        if self._peak_of is not None:
            self._peak = Peak(self._peak_of)
        self._began, self._processor_began = time.perf_counter(), time.process_time()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        assert self._began is not None
        if args.device.type == "cuda":
            torch.cuda.synchronize()
        seconds, processor = time.perf_counter() - self._began, time.process_time() - self._processor_began
        facts = {"seconds": seconds, "processor_seconds": processor}
        self._began = None
        if self._peak is not None:
            facts["extra_gib"] = self._peak.extra_gib()
        norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        self._channel.say(**facts, grad_norm=float(norm))


class FromTheStart(Clock):
    """The clock of a trainer that generates nothing: it starts with the first micro-batch."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.start()


def _grpo(job: dict[str, Any], channel: Channel) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    model = _model(job)
    clock = Clock(channel, peak_of=model if job.get("peak") else None)
    recorded = _recorded(job)
    rows = sum(len(group) for group in recorded)
    micro_batch = job["micro_batch"]
    accumulation = rows // micro_batch
    per_generation = accumulation
    if job["layout"] == "by-group":
        recorded.sort(key=lambda group: -max(len(r.completion_ids) for r in group))
        per_generation = max(1, SAMPLES // micro_batch)
    elif job["layout"] == "sorted":
        _sort_by_length()
    by_prompt = {str(group[0].question): group for group in recorded}

    def rollout_func(prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        taken = [by_prompt[prompt][i % SAMPLES] for i, prompt in enumerate(prompts)]
        output: dict[str, list[Any]] = {
            "prompt_ids": [list(r.prompt_ids) for r in taken],
            "completion_ids": [list(r.completion_ids) for r in taken],
            "logprobs": [list(r.logprobs) for r in taken],
            "recorded_reward": [r.reward for r in taken],
        }
        clock.start()
        return output

    def reward(recorded_reward: list[float], **_: Any) -> list[float]:
        return recorded_reward

    config = GRPOConfig(
        **_common(job),
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=accumulation,
        steps_per_generation=per_generation,
        num_generations=SAMPLES,
        max_completion_length=max(len(r.completion_ids) for group in recorded for r in group),
        shuffle_dataset=False,
        beta=0.0,
        num_iterations=1,
        epsilon=0.2,
        epsilon_high=0.28,
        scale_rewards="none",
        loss_type="dapo",
    )
    return GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": list(by_prompt)}),
        processing_class=_tokenizer(job["shape"]),
        callbacks=[clock],
        rollout_func=rollout_func,
    )


def _sort_by_length() -> None:
    """Let TRL's generation batch be cut into micro-batches of like length, each padded to its own longest only."""
    from trl.trainer import grpo_trainer

    split = grpo_trainer.split_tensor_dict

    def ordered(batch: dict[str, Any]) -> dict[str, Any]:
        order = batch["completion_mask"].sum(dim=1).argsort(descending=True, stable=True)
        return {name: tensor[order] if tensor.ndim else tensor for name, tensor in batch.items()}

    def trimmed(batch: dict[str, Any], count: int) -> list[dict[str, Any]]:
        return [_cut(part) for part in split(batch, count)]

    grpo_trainer.shuffle_sequence_dict = ordered
    grpo_trainer.split_tensor_dict = trimmed


def _cut(part: dict[str, Any]) -> dict[str, Any]:
    """Prompts are padded on the left, completions on the right."""
    prompt = int(part["prompt_mask"].sum(dim=1).max())
    completion = int(part["completion_mask"].sum(dim=1).max())
    cut = dict(part)
    for name in ("prompt_ids", "prompt_mask"):
        cut[name] = part[name][:, -prompt:]
    for name in ("completion_ids", "completion_mask", "sampling_per_token_logps"):
        cut[name] = part[name][:, :completion]
    return cut


def _sft(job: dict[str, Any], channel: Channel) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rollouts = sorted((r for group in _recorded(job) for r in group), key=lambda r: -r.tokens)
    rows = [
        {
            "input_ids": [*r.prompt_ids, *r.completion_ids],
            "labels": [*(-100 for _ in r.prompt_ids), *r.completion_ids],
        }
        for r in rollouts
    ]
    packed = job["layout"] == "bfd"
    config = SFTConfig(
        **_common(job),
        per_device_train_batch_size=job["micro_batch"],
        gradient_accumulation_steps=len(rows),  # an epoch, however many rows the packing leaves, is one optimizer step
        train_sampling_strategy="sequential",
        packing=packed,
        packing_strategy="bfd",
        padding_free=job["layout"] == "padding-free",
        max_length=job["length"] if packed else None,
    )
    return SFTTrainer(
        model=_model(job),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=_tokenizer(job["shape"]),
        callbacks=[FromTheStart(channel)],
    )


def _common(job: dict[str, Any]) -> dict[str, Any]:
    """Nothing that would slow TRL down: no checkpointing of activations, no logging, saving or evaluation."""
    on_gpu = job.get("device", "cpu") == "cuda"
    folder = tempfile.mkdtemp(prefix="bench-trl-")  # asked for, and left empty
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {
        "output_dir": folder,
        "max_steps": 100_000,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.01,
        "max_grad_norm": 1e9,
        "bf16": on_gpu,
        "use_cpu": not on_gpu,
        "gradient_checkpointing": job.get("checkpointing", False),
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": on_gpu,
    }


def _recorded(job: dict[str, Any]) -> list[list[Recorded]]:
    vocabulary = SHAPES[job["shape"]]["vocab_size"]
    if job.get("equal_tokens"):
        return equal(2, SAMPLES, job["equal_tokens"], vocabulary=vocabulary)
    return skewed(longest=job.get("longest", LONGEST), vocabulary=vocabulary)


def _model(job: dict[str, Any]) -> Any:
    return random_model(job["shape"], attention=job.get("attention", "sdpa"))


def _tokenizer(shape: str) -> Any:
    """A word per id; TRL asks for one, for the pad and to decode completions that nobody reads."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {f"t{i}": i for i in range(SHAPES[shape]["vocab_size"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="t1"))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=f"t{PAD}", eos_token=f"t{EOS}", unk_token="t1", padding_side="left"
    )


if __name__ == "__main__":
    main()
