"""Both updates on a GPU: tokens per second, model FLOPs utilisation and peak memory; TRL beside them where it is there.

    python -m tests.bench.gpu

Qwen3-0.6B's shape with random weights, forward in bfloat16 over float32 master weights, packed micro-batches of 16,384
tokens, 512 rollouts of skewed length up to 4,096 (mean near 700), every group with signal. Utilisation counts model
FLOPs (`UpdateReport.flops`), nothing that is recomputed. TRL runs in `.venv-trl`, which needs a CUDA build of
torch for it, in the same run, at the fastest of its micro-batches.

Written without a GPU at hand: it has never run to its end. `docs/benchmarks.md` holds what it measures once it has.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from relift.records import UpdateReport
from tests.bench.figures import write
from tests.bench.relift_side import Trainer, as_demonstrations, as_groups, resolved_sizes, versions
from tests.bench.rollouts import SHAPES, Recorded, random_model, skewed
from tests.bench.sides import Side
from tests.bench.trainer import RUNS, TRL

SHAPE, LONGEST, MICRO_BATCH_TOKENS = "qwen3-0.6b", 4096, 16_384
RL_LAYOUTS: list[dict[str, Any]] = [{"layout": "sorted", "micro_batch": size} for size in (4, 8, 16, 32)]
SFT_LAYOUTS: list[dict[str, Any]] = [
    {"layout": "bfd", "length": MICRO_BATCH_TOKENS, "micro_batch": 1, "attention": "flash_attention_2"},
    {"layout": "bfd", "length": LONGEST + 64, "micro_batch": 1},
    *({"layout": "padded", "micro_batch": size} for size in (4, 8, 16)),
]


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("gpu: torch finds no CUDA device here, and utilisation of a GPU cannot be estimated without one")
    print(f"gpu: {torch.cuda.get_device_name()}, {versions()}")
    recorded = skewed(longest=LONGEST, vocabulary=SHAPES[SHAPE]["vocab_size"])
    figures = _ours(recorded)
    torch.cuda.empty_cache()  # the other side's process needs the room
    write("gpu", {**figures, **_trl(recorded, figures)})


def _ours(recorded: list[list[Recorded]]) -> dict[str, float]:
    device = torch.device("cuda")
    model = random_model(SHAPE).to(device)
    sizes = resolved_sizes(SHAPE, LONGEST + 64, "cuda", micro_batch_tokens=MICRO_BATCH_TOKENS)
    trainer = Trainer(model, sizes, autocast=True)
    groups, prompts = as_groups(recorded)
    demonstrations = as_demonstrations(recorded)
    updates: dict[str, Callable[[], UpdateReport]] = {
        "rl": lambda: trainer.rl(groups, prompts),
        "sft": lambda: trainer.sft(demonstrations, measured=False),
        "sft_measured": lambda: trainer.sft(demonstrations, measured=True),
    }
    figures = {}
    for name, update in updates.items():
        torch.cuda.reset_peak_memory_stats(device)
        seconds, report = _timed(update)
        figures[f"{name}_update_tokens_per_s"] = report.tokens / seconds
        figures[f"{name}_update_tflops"] = report.flops / seconds / 1e12
        if report.mfu is not None:
            figures[f"{name}_update_mfu"] = report.mfu * report.seconds / seconds
        figures[f"{name}_update_peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return figures


def _timed(update: Callable[[], UpdateReport]) -> tuple[float, UpdateReport]:
    """Median seconds after one warm-up, and the last report."""
    times = []
    for _ in range(RUNS + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        report = update()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]), report


def _trl(recorded: list[list[Recorded]], ours: dict[str, float]) -> dict[str, float]:
    """TRL's tokens per second and relift's over them; one process has the GPU at a time, so runs do not alternate."""
    if not (TRL / ".installed").exists():
        print("gpu: TRL is not here (`make .venv-trl/.installed`): relift's figures alone")
        return {}
    tokens = sum(len(rollout.completion_ids) for group in recorded for rollout in group)
    figures = {}
    for kind, layouts in (("rl", RL_LAYOUTS), ("sft", SFT_LAYOUTS)):
        tried = [seconds for layout in layouts if (seconds := _trl_seconds(kind, layout)) is not None]
        if tried:
            figures[f"{kind}_update_trl_tokens_per_s"] = tokens / min(tried)
            figures[f"{kind}_update_ratio_trl"] = ours[f"{kind}_update_tokens_per_s"] / (tokens / min(tried))
    return figures


def _trl_seconds(kind: str, layout: dict[str, Any]) -> float | None:
    """None where this layout does not fit or its attention is not installed, which is said."""
    job = {"kind": kind, "shape": SHAPE, "device": "cuda", "longest": LONGEST, **layout}
    try:
        with Side(TRL / "bin" / "python", "tests.bench.trl_side", job) as side:
            side.update()
            seconds = float(statistics.median(side.update()["seconds"] for _ in range(RUNS)))
    except RuntimeError as problem:
        print(f"gpu: trl {kind} {layout} did not run: {str(problem).strip().splitlines()[-1]}")
        return None
    print(f"gpu: trl {kind} {layout}: {seconds:.2f} s")
    return seconds


if __name__ == "__main__":
    main()
