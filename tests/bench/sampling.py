"""Groups with signal for each 1,000 sampled tokens: pools and retirement against the shuffle, and the accuracy after.

The demo with 1,000 questions for eight passes' worth of batches, seeds 0 to 2. Runs lie in ``runs/bench/sampling``; one
that came to its end is not done again, one that was stopped goes on. `python -m tests.bench.sampling FORM SEED` does
one.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from relift.run.identity import SUMMARY_FILE
from relift.run.progress import METRICS, read_metrics
from relift.run.summary import read_summary
from tests.bench.figures import FOLDER, write

QUESTIONS, PASSES, BATCH = 1000, 8, 64
SEEDS = (0, 1, 2)
FORMS = {"shuffle": (), "pools": ("sampling.pools={}", "sampling.retire={}")}
RUNS = FOLDER / "sampling"


def run_of(form: str, seed: int) -> Path:
    """The folder of the run, which is done where it is not."""
    name = f"{form}-{seed}"
    settings = (
        f"store={RUNS}",
        f"seed={seed}",
        f"questions.count={QUESTIONS}",
        f"iterations={QUESTIONS * PASSES // BATCH}",
        f"evaluation.every={QUESTIONS}",  # at the start and the end alone
        *FORMS[form],
    )
    if not (RUNS / name / SUMMARY_FILE).exists():
        relift = Path(sys.executable).with_name("relift")
        arguments = (part for setting in settings for part in ("--set", setting))
        subprocess.run([relift, "train", "demo", "--name", name, *arguments], check=True, stdout=subprocess.DEVNULL)
    return RUNS / name


def measured(folder: Path) -> dict[str, float]:
    """Of all iterations of a run: what was asked, and what came of it; accuracies are of the held-out questions."""
    reports = read_metrics(folder / METRICS)
    tokens, signal = (sum(report[name] for report in reports) for name in ("tokens", "signal"))
    families = read_summary(folder).families.values()
    kinds = {f"accuracy_{kind}": statistics.fmean(family.after for family in families if family.kind == kind)
             for kind in ("mastered", "border", "unreached")}  # fmt: skip
    mean = statistics.fmean(family.after for family in families)
    signal_per_token = {"signal_per_1000_tokens": 1000 * signal / tokens}
    return {"tokens": tokens, "signal": signal, **signal_per_token, "accuracy": mean, **kinds}


def main() -> None:
    figures, ratios = dict[str, float](), list[float]()
    for seed in SEEDS:
        found = {form: measured(run_of(form, seed)) for form in FORMS}
        figures |= {f"{form}_{seed}_{name}": value for form in FORMS for name, value in found[form].items()}
        ratios.append(found["pools"]["signal_per_1000_tokens"] / found["shuffle"]["signal_per_1000_tokens"])
    differences = {
        f"{name}_difference": statistics.fmean(
            figures[f"pools_{s}_{name}"] - figures[f"shuffle_{s}_{name}"] for s in SEEDS
        )
        for name in ("accuracy", "accuracy_mastered", "accuracy_border", "accuracy_unreached")
    }
    write("sampling", {**figures, "ratio": statistics.fmean(ratios), "ratio_least": min(ratios), **differences})


if __name__ == "__main__":
    if arguments := sys.argv[1:]:
        print(json.dumps(measured(run_of(arguments[0], int(arguments[1])))))
    else:
        main()
