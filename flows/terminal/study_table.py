"""What a study came to, on a terminal: losses first, then the methods by their mean."""

from __future__ import annotations

from statistics import fmean

from rich.console import Console
from rich.table import Table

from relift.study.results import PairResult, StudyResult


def print_study(console: Console, study: StudyResult) -> None:
    over = {pair.over for pair in study.pairs.values()} | {mean.over for mean in study.means.values()}
    console.print(_pairs(study))
    console.print(_methods(study))
    if "questions" in over:
        console.print(
            "Intervals are over questions, given these seeds (fewer than 4): they say nothing of other seeds.",
            highlight=False,
        )
    for said in study.warnings:
        console.print(f"{said}.", style="red", highlight=False, markup=False)
    if study.missing:
        console.print(f"{len(study.missing)} runs have not ended: {', '.join(study.missing)}", highlight=False)


def _pairs(study: StudyResult) -> Table:
    table = Table("pair", "points", "95 %", "p", "by seed", title=f"{study.title}: losses first", title_justify="left")
    for pair in study.losses_first:
        if pair.planned or pair.is_loss or pair.p_adjusted < 0.05:
            table.add_row(
                f"{pair.first} - {pair.second}{_marks(pair)}",
                f"{100 * pair.mean:+.1f}",
                f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}",
                f"{pair.p_adjusted:.2g}" + ("" if pair.planned else " (Holm)"),
                ", ".join(f"{100 * value:+.1f}" for value in pair.by_seed.values()),
                style="red" if pair.is_loss else None,
            )
    left = sum(not (pair.planned or pair.is_loss or pair.p_adjusted < 0.05) for pair in study.pairs.values())
    if left:
        table.caption = f"and {left} exploratory pairs without a difference at 5 %"
    return table


def _marks(pair: PairResult) -> str:
    said = " planned" if pair.planned else " exploratory"
    if pair.expected is not None:
        said += f", expected {100 * pair.expected:+.0f}"
    return f" ({said.strip()})"


def _methods(study: StudyResult) -> Table:
    table = Table("method", "seeds", "mean", "95 %", "demonstrations", "rollouts", "update FLOPs", "seconds")
    for name, mean in sorted(study.means.items(), key=lambda item: -item[1].mean):
        runs = study.methods[name].values()
        table.add_row(
            name + (" (reference row)" if name in study.references else ""),
            str(len(runs)),
            f"{mean.mean:.1%}",
            f"{mean.low:.1%} to {mean.high:.1%}",
            f"{fmean(run.demonstrations for run in runs):,.0f}",
            f"{fmean(run.rollouts for run in runs):,.0f}",
            f"{fmean(run.update_flops for run in runs):.2e}",
            f"{fmean(run.seconds for run in runs):,.0f}",
        )
    return table
