"""relift's updates against TRL's trainers, on the same random model and the same recorded rollouts, one thread each.

Each side runs in a process of its own and they update in turn, so that a machine whose speed drifts slows both alike.
What a side times is said in `relift_side` and `trl_side`; TRL is met at the fastest of its layouts and micro-batches,
tried first. The gradients have to agree before anything is compared. Tokens per second are completion tokens alone.

Figures: `rl_update_ratio_trl` has TRL help that it does not offer (micro-batches sorted by length), and every group has
signal; `..._as_shipped` is TRL as it comes; `..._half_silent` has half of the groups without signal, which relift
leaves out and TRL computes (its time does not depend on rewards, so its runs are the same). `sft_update_ratio_trl` is
relift's update as it is called, which measures every demonstration after the step once more; `..._unmeasured` leaves
that out, as TRL does.
"""

from __future__ import annotations

import math
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import trainer_memory
from tests.bench.figures import write
from tests.bench.sides import Side

TRL = Path(".venv-trl")
RUNS = 5
SLOW_SECONDS = 40.0
"""A layout whose first update takes longer is not tried twice."""
MICRO_BATCHES = (4, 8, 16, 32)
AS_SHIPPED: list[dict[str, Any]] = [
    {"layout": "one-batch", "micro_batch": 8},  # as wide whatever the micro-batch, and 3 times slower than by-group
    *({"layout": "by-group", "micro_batch": size} for size in MICRO_BATCHES),
]
SORTED: list[dict[str, Any]] = [{"layout": "sorted", "micro_batch": size} for size in MICRO_BATCHES]
SFT: list[dict[str, Any]] = [
    *({"layout": "bfd", "length": length, "micro_batch": 1} for length in (544, 1024)),  # 2048: 3 times slower
    {"layout": "padding-free", "micro_batch": 4},
    *({"layout": "padded", "micro_batch": size} for size in MICRO_BATCHES),
]


def main() -> None:
    print(f"trainer: {_processor()}, one thread a side, {RUNS} runs in turn")
    trl = TRL / "bin" / "python" if (TRL / ".installed").exists() else None
    if trl is None:
        print(
            "trainer: TRL is not here (`make bench-trainer` says why), so nothing is compared: relift's figures alone"
        )
    write("trainer", {**rl(trl), **sft(trl), **trainer_memory.figures(trl)})


def rl(trl: Path | None) -> dict[str, float]:
    ours: dict[str, dict[str, Any]] = {"relift": {"kind": "rl"}, "half silent": {"kind": "rl", "without_signal": 0.5}}
    theirs: dict[str, dict[str, Any]] = {}
    if trl:
        theirs["as shipped"], shipped = _fastest(trl, "rl", AS_SHIPPED)
        theirs["trl"], best = _fastest(trl, "rl", SORTED)
        if shipped < best:
            theirs["trl"] = theirs["as shipped"]
    seconds, tokens = _in_turn(ours, trl, theirs)
    figures = {"rl_update_tokens_per_s": tokens / statistics.median(seconds["relift"])}
    if trl:
        figures |= {
            "rl_update_trl_tokens_per_s": tokens / statistics.median(seconds["trl"]),
            "rl_update_ratio_trl": _ratio(seconds["trl"], seconds["relift"]),
            "rl_update_ratio_trl_as_shipped": _ratio(seconds["as shipped"], seconds["relift"]),
            "rl_update_ratio_trl_half_silent": _ratio(seconds["trl"], seconds["half silent"]),
        }
    return figures


def sft(trl: Path | None) -> dict[str, float]:
    ours = {"relift": {"kind": "sft", "measured": True}, "unmeasured": {"kind": "sft", "measured": False}}
    theirs = {"trl": _fastest(trl, "sft", SFT)[0]} if trl else {}
    seconds, tokens = _in_turn(ours, trl, theirs)
    figures = {"sft_update_tokens_per_s": tokens / statistics.median(seconds["relift"])}
    if trl:
        figures |= {
            "sft_update_trl_tokens_per_s": tokens / statistics.median(seconds["trl"]),
            "sft_update_ratio_trl": _ratio(seconds["trl"], seconds["relift"]),
            "sft_update_ratio_trl_unmeasured": _ratio(seconds["trl"], seconds["unmeasured"]),
        }
    return figures


def _fastest(trl: Path, kind: str, layouts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], float]:
    """The job with the quickest update of two (the first warms up), and its seconds: the processor's, so that nothing
    else that runs meanwhile decides."""
    tried = []
    for layout in layouts:
        job = {"kind": kind, "shape": "cpu", **layout}
        with Side(trl, "tests.bench.trl_side", job) as side:
            seconds = side.update()["processor_seconds"]
            if seconds < SLOW_SECONDS:
                seconds = min(seconds, side.update()["processor_seconds"])
        print(f"trainer: trl {kind} {_words(layout)}: {seconds:.1f} s", flush=True)
        tried.append((job, seconds))
    return min(tried, key=lambda pair: pair[1])


def _in_turn(
    ours: Mapping[str, Mapping[str, Any]], trl: Path | None, theirs: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, list[float]], int]:
    """Seconds of each side's updates, one after the other after one warm-up each, and the completion tokens of one."""
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(Side(sys.executable, "tests.bench.relift_side", job))
            for name, job in ours.items()
        }
        if trl:
            sides |= {name: stack.enter_context(Side(trl, "tests.bench.trl_side", job)) for name, job in theirs.items()}
        for name, side in sides.items():
            versions = ", ".join(f"{package} {number}" for package, number in side.facts["versions"].items())
            print(f"trainer: {name}: {_words({**ours, **theirs}[name])} ({versions})", flush=True)
        first = {name: side.update() for name, side in sides.items()}
        _same_gradient(first, theirs)
        rounds = [{name: side.update() for name, side in sides.items()} for _ in range(RUNS)]
    for name in sides:
        each = ", ".join(f"{of[name]['seconds']:.2f} ({of[name]['processor_seconds']:.2f})" for of in rounds)
        print(f"trainer: {name}: {each} s (the processor's)", flush=True)
    return {name: [of[name]["seconds"] for of in rounds] for name in sides}, first["relift"]["tokens"]


def _same_gradient(first: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]) -> None:
    """Both began with the same weights; with a generation batch per micro-batch TRL divides by the counts of these."""
    for name, job in theirs.items():
        ours, other = first["relift"]["grad_norm"], first[name]["grad_norm"]
        if job["layout"] != "by-group" and not math.isclose(ours, other, rel_tol=1e-3):
            raise RuntimeError(
                f"the gradient norms differ, so the updates are not the same: relift {ours}, {name} {other}"
            )


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))


def _words(job: Mapping[str, Any]) -> str:
    return " ".join(f"{name} {value}" for name, value in job.items() if name not in ("kind", "shape"))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if names:
            return f"{names[0]} ({len(names)} cores)"
    return platform.processor() or platform.machine()
