"""What an RL update takes at its peak above the model's own memory: `python -m tests.bench.trainer_memory CASE`.

The model has a vocabulary of 151,936 over a hidden width of 64, so logits are nearly all there is to hold: 8,192
completion tokens of them are 4.6 GiB in float32, once. The case "long" is one completion of 8,192 tokens, which no
micro-batch can split; "short" is 16 of 512 in one micro-batch, which TRL can be given as well. "naive" is the plain
way, full logits and their log-softmax, with 2,048 tokens, since 8,192 would not fit every machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from relift.records import TrainingSequence
from tests.bench.peak import STATUS, Peak
from tests.bench.relift_side import Trainer, as_groups, resolved_sizes
from tests.bench.rollouts import SAMPLES, SHAPES, Recorded, equal, random_model
from tests.bench.sides import ENVIRONMENT, Side

LONG, SHORT, NAIVE = 8192, 512, 2048
TRL_JOB = {"kind": "rl", "shape": "wide", "layout": "one-batch", "micro_batch": 16, "equal_tokens": SHORT, "peak": True}


def figures(trl: Path | None) -> dict[str, float]:
    """Gibibytes; each of a process of its own. Empty, and said, where the machine does not count them."""
    if not STATUS.exists():
        print("trainer: peak memory is not measured, since /proc is not there")
        return {}
    found = {
        "peak_extra_gib": _case("long"),
        "peak_extra_short_gib": _case("short"),
        "naive_2048_tokens_peak_extra_gib": _case("naive"),
    }
    if trl:
        with Side(trl, "tests.bench.trl_side", TRL_JOB) as side:
            side.update()  # makes the optimizer's states
            found["trl_peak_extra_short_gib"] = side.update()["extra_gib"]
    return found


def _case(name: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.trainer_memory", name],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )
    return float(json.loads(done.stdout)["extra_gib"])


def main() -> None:
    """In the child: one case."""
    torch.set_num_threads(1)
    case = sys.argv[1]
    vocabulary = SHAPES["wide"]["vocab_size"]
    model = random_model("wide")
    recorded = equal(2, SAMPLES, SHORT, vocabulary=vocabulary)
    if case != "short":
        recorded = equal(1, 1, LONG if case == "long" else NAIVE, vocabulary=vocabulary)
    longest = max(r.tokens for group in recorded for r in group)
    rows = sum(len(group) for group in recorded)
    trainer = Trainer(model, resolved_sizes("wide", longest, "cpu", micro_batch_tokens=longest * rows))
    with_states(model, trainer.optimizer)
    peak = Peak(model)
    if case == "naive":
        naive(model, recorded[0][0])
    elif case == "long":
        trainer.rl_steps([[_alone(recorded[0][0])]], longest=LONG)
    else:
        trainer.rl(*as_groups(recorded))
    print(json.dumps({"extra_gib": peak.extra_gib(), "own_gib": peak.own_gib}))


def with_states(model: Any, optimizer: torch.optim.Optimizer) -> None:
    """The optimizer's states, made by a step that moves nothing."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()


def naive(model: Any, rollout: Recorded) -> None:
    """One policy gradient by way of the logits of every token."""
    ids_1T = torch.tensor([[*rollout.prompt_ids, *rollout.completion_ids]])
    logits_1TV = model(input_ids=ids_1T, use_cache=False).logits[:, len(rollout.prompt_ids) - 1 : -1].float()
    logprobs_1T = logits_1TV.log_softmax(dim=-1).gather(2, ids_1T[:, len(rollout.prompt_ids) :, None])
    (-logprobs_1T.mean()).backward()


def _alone(rollout: Recorded) -> TrainingSequence:
    """A sequence with an advantage of its own, for want of a group."""
    prompt = len(rollout.prompt_ids)
    return TrainingSequence(
        question_id="q0",
        token_ids=rollout.prompt_ids + rollout.completion_ids,
        loss_mask=(0,) * prompt + (1,) * len(rollout.completion_ids),
        sampling_logprobs=(0.0,) * prompt + rollout.logprobs,
        advantage=1.0,
    )


if __name__ == "__main__":
    main()
