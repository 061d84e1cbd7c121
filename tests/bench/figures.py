"""How a benchmark measures and where it writes."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path("runs") / "bench"


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def paired(ours: Callable[[], object], theirs: Callable[[], object], *, runs: int = 5) -> tuple[float, float, float]:
    """Medians (ours, theirs, theirs over ours pair by pair) in seconds, run in turn after one warm-up each, so that a
    machine whose speed drifts slows both alike."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )


def write(name: str, figures: dict[str, float]) -> None:
    """``runs/bench/<name>.json``, and one line a figure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    for figure, value in figures.items():
        print(f"{name}.{figure} {value:.4g}")
