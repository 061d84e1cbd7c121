"""The losses and their gradients against those of TRL and of verl, on the same made-up tokens, in float64.

Both libraries are called as they come, in an environment of their own (`losses_side`); what they are given are
log-probabilities, since how a model makes these is compared elsewhere (`trainer`: gradient norms through the model). A
figure is the larger relative error of a loss and of its gradient by the log-probabilities, relift's once whole and once
as the sum of three micro-batches; above ``BAR`` the command fails.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relift.config import CispoConfig, ClipConfig, GspoConfig, PpoConfig, RlConfig
from relift.learning import Counts, PolicyTokens, policy_loss, sft_loss
from tests.bench.figures import write

PYTHON = Path(".venv-losses") / "bin" / "python"
BAR = 1e-6
LONGEST = 48
"""Tokens of a completion at most: the constant that dr-grpo divides by."""
PARTS = 3
ONE_CLIP = ClipConfig(low=0.2, high=0.2, dual=None)
HIGHER = ClipConfig(low=0.2, high=0.28, dual=None)
LOSSES: Mapping[str, RlConfig | None] = {
    "grpo": RlConfig(loss=PpoConfig(clip=ONE_CLIP), aggregation="seq-mean"),
    "dr-grpo": RlConfig(loss=PpoConfig(clip=ONE_CLIP), aggregation="constant"),
    "dapo": RlConfig(loss=PpoConfig(clip=HIGHER), aggregation="token-mean"),
    "dapo, dual clip": RlConfig(loss=PpoConfig(clip=ClipConfig(low=0.2, high=0.28, dual=3.0))),
    "gspo": RlConfig(loss=GspoConfig(), aggregation="seq-mean"),
    "cispo": RlConfig(loss=CispoConfig(), aggregation="token-mean"),
    "sft": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """Of one completion, log-probabilities by token."""

    advantage: float
    new: list[float]
    old: list[float]


def made_up(seed: int, *, spread: float) -> list[Sampled]:
    """24 completions of 1 to 48 tokens; ``spread`` of the log-ratios decides how much is clipped."""
    draw = random.Random(seed)
    lengths = [1, 2, LONGEST, *(draw.randint(1, LONGEST) for _ in range(21))]
    found = []
    for index, length in enumerate(lengths):
        old = [-draw.expovariate(1.0) for _ in range(length)]
        shift = draw.gauss(0, spread / 3)
        new = [min(-1e-3, value + shift + draw.gauss(0, spread)) for value in old]
        found.append(Sampled(advantage=0.0 if index == 5 else draw.gauss(0, 1), new=new, old=old))
    return found


def ours(config: RlConfig | None, sequences: Sequence[Sampled], parts: int) -> tuple[float, list[list[float]]]:
    """Loss and gradient of a step that is cut into so many micro-batches."""
    logprobs = [torch.tensor(s.new, dtype=torch.float64, requires_grad=True) for s in sequences]
    count = Counts(tokens=sum(len(s.new) for s in sequences), sequences=len(sequences), max_completion_tokens=LONGEST)
    total = 0.0
    for part in range(parts):
        chosen = range(part, len(sequences), parts)
        loss = _loss(config, [logprobs[i] for i in chosen], [sequences[i] for i in chosen], count)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total, [[] if one.grad is None else one.grad.tolist() for one in logprobs]


def _loss(config: RlConfig | None, logprobs: Sequence[Tensor], sequences: Sequence[Sampled], count: Counts) -> Tensor:
    logprobs_C = torch.cat(list(logprobs))
    if config is None:
        return sft_loss(logprobs_C, None, alpha=0.0, token_count=count.tokens).loss
    lengths = torch.tensor([len(s.new) for s in sequences])
    tokens = PolicyTokens(
        logprobs_C=logprobs_C,
        old_logprobs_C=torch.tensor([value for s in sequences for value in s.old], dtype=torch.float64),
        advantages_S=torch.tensor([s.advantage for s in sequences], dtype=torch.float64),
        sequence_C=torch.arange(len(sequences)).repeat_interleave(lengths),
        loss_tokens_S=lengths,
    )
    return policy_loss(tokens, config, count).loss


def error(found: tuple[float, Any], wanted: tuple[float, Any]) -> float:
    """The larger relative one of loss and gradient (L2 over all tokens)."""
    difference = size = 0.0
    for mine, theirs in zip(found[1], wanted[1], strict=True):
        difference += sum((a - b) ** 2 for a, b in zip(mine, theirs, strict=True))
        size += sum(b * b for b in theirs)
    return max(abs(found[0] - wanted[0]) / abs(wanted[0]), (difference / size) ** 0.5)


def main() -> None:
    if not PYTHON.exists():
        raise SystemExit("TRL and verl are in an environment of their own: make bench-losses")
    batches = {"on policy": made_up(0, spread=0.0), "near": made_up(1, spread=0.1), "far": made_up(2, spread=0.6)}
    given = {"longest": LONGEST, "batches": {name: [asdict(s) for s in found] for name, found in batches.items()}}
    command = [str(PYTHON), "-m", "tests.bench.losses_side"]
    said = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    if said.returncode:
        sys.exit(f"{' '.join(command)} ended with {said.returncode}:\n{said.stderr[-3000:]}")
    theirs = json.loads(said.stdout.splitlines()[-1])
    print(" ".join(f"{name} {version}" for name, version in theirs["versions"].items()))
    figures = {
        f"{library} {loss}": max(
            error(ours(LOSSES[loss], batches[name], parts), wanted)
            for name, wanted in by_batch.items()
            for parts in (1, PARTS)
        )
        for library, losses in theirs["losses"].items()
        for loss, by_batch in losses.items()
    }
    write("losses", figures)
    if wrong := [name for name, value in figures.items() if not value <= BAR]:
        sys.exit(f"above {BAR:g}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
