"""Where the wall seconds went: iteration by iteration, and altogether."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relift.report.data import ReportData
from relift.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    new_figure,
    quiet,
    whole_iterations,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "rollout": BLUE,
    "probe": "#D6C526",
    "verify": SKY,
    "gate": "#8C8C8C",
    "source": "#C4C4C4",
    "rl_update": ORANGE,
    "trial": "#56B4E9",
    "sft_update": VERMILION,
    "checkpoint": PURPLE,
    "evaluate": GREEN,
}
"""By phase, in the order of an iteration."""
BETWEEN_ITERATIONS = frozenset({"checkpoint", "evaluate", "report"})
MOST_BARS = 150
BARS_WITH_GAPS = 60
"""More bars stand side by side without gaps, which would flicker."""


def draw_seconds(data: ReportData) -> Figure:
    figure = new_figure(11.0, 3.4)
    by_iteration, altogether = figure.subplots(1, 2, width_ratios=[1.7, 1])
    phases = sorted(
        data.phase_seconds, key=lambda phase: list(COLOURS).index(phase) if phase in COLOURS else len(COLOURS)
    )
    _draw_iterations(by_iteration, data, [phase for phase in phases if phase not in BETWEEN_ITERATIONS])
    _draw_totals(altogether, data.phase_seconds, phases)
    return figure


def binned(values: list[float], width: int) -> list[float]:
    """Means of ``width`` neighbours; the last of what is left."""
    parts = [values[start : start + width] for start in range(0, len(values), width)]
    return [sum(part) / len(part) for part in parts]


def _draw_iterations(axes: Any, data: ReportData, phases: list[str]) -> None:
    reports = data.iterations
    width = -(-len(reports) // MOST_BARS)
    means = "" if width == 1 else f"; means of {width} iterations"
    quiet(axes, "seconds by iteration", f"without evaluation and checkpoint{means}")
    whole_iterations(axes, max(1, reports[-1].iteration))
    axes.set_xlim(reports[0].iteration - 0.8 * width, reports[-1].iteration + 0.8 * width)
    centres = [report.iteration + (width - 1) / 2 for report in reports[::width]]
    bottom = [0.0] * len(centres)
    share = 0.85 if len(centres) <= BARS_WITH_GAPS else 1.0
    for phase in phases:
        heights = binned([report.seconds.get(phase, 0.0) for report in reports], width)
        axes.bar(centres, heights, width=share * width, bottom=bottom, color=COLOURS.get(phase, INK), linewidth=0)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.set_ylim(0, max(1e-9, 1.05 * max(bottom)))


def _draw_totals(axes: Any, totals: dict[str, float], phases: list[str]) -> None:
    """The bars are the legend of the other panel: their names stand beside them in the same colours."""
    everything = sum(totals.values()) or 1.0
    quiet(axes, "altogether", f"{everything:,.0f} s in phases" if everything >= 10 else f"{everything:.2f} s in phases")
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.barh(range(len(phases)), [totals[p] for p in phases], color=[COLOURS.get(p, INK) for p in phases], height=0.7)
    axes.set_yticks(range(len(phases)), phases, parse_math=False)
    axes.tick_params(axis="y", labelsize=9, labelcolor=INK)
    axes.invert_yaxis()
    for row, phase in enumerate(phases):
        seconds = totals[phase]
        axes.annotate(
            f"{seconds:.1f} s  {seconds / everything:.0%}".replace("%", " %"),
            xy=(seconds, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=MUTED,
            annotation_clip=False,
        )
