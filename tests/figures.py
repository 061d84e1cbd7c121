"""The README's table: the demo and the same recipe with `sft=off`, seeds 0 to 2. `make figures` prints it.

Runs that are finished are read, not run again, so it can be stopped and started.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from relift.run.summary import RunSummary, read_summary

RELIFT = Path(sys.executable).with_name("relift")
SEEDS = (0, 1, 2)
METHODS = {"relift": [], "grpo": ["--set", "sft=off"]}
IMAGE = Path("docs/images/accuracy.png")


def summaries(method: str) -> list[RunSummary]:
    found = []
    for seed in SEEDS:
        name = f"figures-{method}-{seed}"
        command = [str(RELIFT), "train", "demo", "--name", name, "--set", f"seed={seed}", *METHODS[method]]
        subprocess.run(command, check=True, stdout=sys.stderr)
        found.append(read_summary(Path("runs") / name))
    return found


def table(relift: list[RunSummary], grpo: list[RunSummary]) -> str:
    """Markdown: means over the seeds, and the ends of their range."""
    lines = ["| family | kind | base | GRPO | ReLIFT | ReLIFT by seed |", "|---|---|---|---|---|---|"]
    for family, first in relift[0].families.items():
        ours = [s.families[family].after for s in relift]
        plain = statistics.fmean(s.families[family].after for s in grpo)
        by_seed = ", ".join(f"{value:.1%}" for value in ours)
        mean = statistics.fmean(ours)
        base = statistics.fmean(s.families[family].base for s in relift)
        lines.append(f"| {family} | {first.kind} | {base:.1%} | {plain:.1%} | **{mean:.1%}** | {by_seed} |")
    means = [s.mean_after for s in relift]
    plain_mean = statistics.fmean(s.mean_after for s in grpo)
    by_seed = ", ".join(f"{m:.1%}" for m in means)
    base, mean = statistics.fmean(s.mean_base for s in relift), statistics.fmean(means)
    lines.append(f"| mean | | {base:.1%} | {plain_mean:.1%} | **{mean:.1%}** | {by_seed} |")
    used = ", ".join(f"{s.demonstrations_used} ({s.demonstrations_used / s.questions:.1%})" for s in relift)
    lines.append(f"| demonstrations used | | | 0 | | {used} of {relift[0].questions:,} questions |")
    return "\n".join(lines)


def main() -> None:
    relift, grpo = summaries("relift"), summaries("grpo")
    print(table(relift, grpo))
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path("runs") / "figures-relift-0" / "report" / "accuracy.png", IMAGE)


if __name__ == "__main__":
    main()
