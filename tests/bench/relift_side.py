"""relift's side of `tests.bench.trainer`: one update per request. Run as `python -m tests.bench.relift_side JOB`.

Timed is all that lies between recorded rollouts and moved weights. RL: from groups of rollouts with their rewards, over
advantages and sequences, to after the optimizer step. Supervised: from demonstrations to after the step and, unless the
job leaves it out, the measuring of every demonstration after it, which an update does by default (what was before, its
own forward pass says). Prompts are shared on a CPU: of a question's eight sequences one computes it.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from relift.config import AdamConfig, RlConfig, RunConfig, SftConfig
from relift.learning import (
    Conduct,
    Sizes,
    build_optimizer,
    demonstration_sequence,
    rl_sequences,
    rl_update,
    sft_minibatches,
    sft_update,
)
from relift.records import (
    Completion,
    FinishReason,
    Question,
    Rollout,
    RolloutGroup,
    Status,
    TrainingSequence,
    UpdateReport,
    Verdict,
)
from relift.run.machine import resolve_machine
from tests.bench.rollouts import LONGEST, SEED, SHAPES, Recorded, random_model, skewed
from tests.bench.sides import Channel

NO_CLIP = AdamConfig(grad_clip=1e9)
"""The gradient norm is computed, as it is on the other side, and compared with it."""
RL = RlConfig(optimizer=NO_CLIP)
SFT = SftConfig(batch_size=512, entropy_weight=0.0, optimizer=NO_CLIP)
"""Plain likelihood, which TRL can do as well."""


def main() -> None:
    job = json.loads(sys.argv[1])
    channel = Channel()
    torch.set_num_threads(1)
    recorded = skewed(without_signal=job.get("without_signal", 0.0))
    model = random_model("cpu")
    longest = max(rollout.tokens for group in recorded for rollout in group)
    trainer = Trainer(model, resolved_sizes("cpu", longest, "cpu"))
    groups, prompts = as_groups(recorded)
    demonstrations = as_demonstrations(recorded)
    channel.say(versions=versions(), parameters=sum(p.numel() for p in model.parameters()))
    while True:
        channel.wait()
        began, processor_began = time.perf_counter(), time.process_time()
        if job["kind"] == "rl":
            report = trainer.rl(groups, prompts)
        else:
            report = trainer.sft(demonstrations, measured=job["measured"])
        seconds, processor = time.perf_counter() - began, time.process_time() - processor_began
        channel.say(
            seconds=seconds,
            processor_seconds=processor,
            tokens=report.tokens,
            grad_norm=report.grad_norm,
            loss=report.loss,
        )


class Trainer:
    """A model with its optimizer, and the two updates of `relift.learning` on it."""

    def __init__(self, model: Any, sizes: Sizes, *, autocast: bool = False) -> None:
        self.model = model
        self.optimizer = build_optimizer(model, NO_CLIP)
        self._sizes = sizes
        self._autocast = autocast

    def rl(self, groups: Sequence[RolloutGroup], prompts: dict[str, tuple[int, ...]]) -> UpdateReport:
        return self.rl_steps(rl_sequences(groups, prompts, config=RL, max_completion_tokens=LONGEST))

    def rl_steps(self, steps: Sequence[Sequence[TrainingSequence]], longest: int = LONGEST) -> UpdateReport:
        with self._precision():
            return rl_update(
                self.model,
                self.optimizer,
                steps,
                config=RL,
                temperature=1.0,
                max_completion_tokens=longest,
                **self._common(),
            )

    def sft(self, demonstrations: Sequence[TrainingSequence], *, measured: bool) -> UpdateReport:
        minibatches = sft_minibatches(demonstrations, (), config=SFT, rng=np.random.default_rng(SEED))
        with self._precision():
            return sft_update(
                self.model,
                self.optimizer,
                minibatches,
                demonstrations=demonstrations if measured else (),
                config=SFT,
                **self._common(),
            ).report

    def _common(self) -> dict[str, Any]:
        return {"conduct": Conduct(sizes=self._sizes, lr=NO_CLIP.lr, check=lambda: None)}

    def _precision(self) -> AbstractContextManager[Any]:
        """As `relift.policy.autocast` has it for `policy.dtype = "bfloat16"`."""
        if not self._autocast:
            return nullcontext()
        return torch.autocast(self.model.device.type, dtype=torch.bfloat16, cache_enabled=False)


def resolved_sizes(shape: str, longest: int, device: str, *, micro_batch_tokens: int | None = None) -> Sizes:
    """What a run resolves from the machine when its sequences have at most ``longest`` tokens."""
    vocabulary = SHAPES[shape]["vocab_size"]
    tree = {
        "questions": {"format": "arithmetic", "families": {"add3": 1.0}, "count": 64, "batch_size": 64},
        "policy": {"max_prompt_tokens": 1, "micro_batch_tokens": micro_batch_tokens},
        "rollout": {"max_tokens": longest - 1},
        "teacher": {"max_tokens": longest - 1},
    }
    resolved = resolve_machine(RunConfig.model_validate(tree), device=device, vocabulary=vocabulary, iterations=1)
    return Sizes(
        vocabulary=vocabulary,
        micro_batch_tokens=resolved.micro_batch_tokens,
        chunk_tokens=resolved.chunk_tokens,
    )


def as_groups(recorded: list[list[Recorded]]) -> tuple[list[RolloutGroup], dict[str, tuple[int, ...]]]:
    """relift's records of the rollouts, and the prompt of each question."""
    groups, prompts = [], {}
    for rollouts in recorded:
        question = Question(id=f"q{rollouts[0].question}", text="", answer="", source="bench")
        prompts[question.id] = rollouts[0].prompt_ids
        groups.append(RolloutGroup(question=question, rollouts=tuple(_rollout(s, r) for s, r in enumerate(rollouts))))
    return groups, prompts


def as_demonstrations(recorded: list[list[Recorded]]) -> list[TrainingSequence]:
    return [demonstration_sequence(f"q{r.question}", r.prompt_ids, r.completion_ids) for g in recorded for r in g]


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("relift", "torch", "transformers")}
    return {"python": platform.python_version(), **packages}


def _rollout(sample: int, recorded: Recorded) -> Rollout:
    return Rollout(
        sample=sample,
        completion=Completion(
            token_ids=recorded.completion_ids,
            logprobs=recorded.logprobs,
            text="",
            finish_reason=FinishReason.STOP,
            policy_version=0,
        ),
        verdict=Verdict(status=Status.CORRECT if recorded.reward else Status.WRONG),
        reward=recorded.reward,
    )


if __name__ == "__main__":
    main()
