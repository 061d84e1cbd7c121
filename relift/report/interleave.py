"""Unsolved, waiting and taught over the iterations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from relift.report.data import ReportData
from relift.report.style import BLUE, GREEN, MUTED, VERMILION, Label, label_ends, new_figure, quiet, whole_iterations

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEAN_OVER = 10
"""Iterations of the trailing mean; one batch alone is noisy."""
MEAN_FROM = 20
"""Iterations below which the values themselves are the line."""


def is_teaching(data: ReportData) -> bool:
    """Whether any demonstration waited or was trained on; never with supervised updates switched off."""
    return any(report.buffer or report.taught for report in data.iterations)


def draw_interleave(data: ReportData) -> Figure:
    """Unsolved, buffer and taught side by side; unsolved alone where nothing is taught."""
    reports = data.iterations
    numbers = [report.iteration for report in reports]
    figure = new_figure(11.0, 3.2)
    panels = figure.subplots(1, 3 if is_teaching(data) else 1, squeeze=False)[0]
    for axes in panels:
        whole_iterations(axes, numbers[-1])

    most = max(report.questions for report in reports)
    quiet(panels[0], "unsolved", f"hardest questions in a batch of {most}")
    _unsolved(panels[0], numbers, [report.unsolved for report in reports])
    if is_teaching(data):
        _, waiting, taught = panels
        quiet(waiting, "buffer", "demonstrations that wait")
        _steps(waiting, numbers, [report.buffer for report in reports], BLUE)
        if data.demonstrations_per_update:
            _mark_update(waiting, data.demonstrations_per_update)
        quiet(taught, "taught", "demonstrations trained on so far")
        _steps(taught, numbers, list(accumulate(report.taught for report in reports)), GREEN)
    return figure


def trailing_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of each value and those before it, at most ``width`` of them."""
    windows = (values[max(0, end - width) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


def _unsolved(axes: Any, numbers: list[int], counts: list[int]) -> None:
    line: Sequence[float] = counts
    if len(counts) >= MEAN_FROM:
        line = trailing_mean(counts, MEAN_OVER)
        axes.plot(numbers, counts, linestyle="none", marker="o", markersize=2.6, color=VERMILION, alpha=0.3)
    axes.plot(
        numbers, line, color=VERMILION, linewidth=1.8, marker="o" if len(counts) < MEAN_FROM else None, markersize=4
    )
    _from_zero(axes, max(counts))
    label_ends(axes, [Label(y=line[-1], text=f"{line[-1]:.0f}", colour=VERMILION)])


def _steps(axes: Any, numbers: list[int], counts: list[int], colour: str) -> None:
    """A count that holds from the end of one iteration to the end of the next; of a short run its points."""
    if len(counts) < MEAN_FROM:
        axes.plot(numbers, counts, color=colour, linewidth=1.8, marker="o", markersize=4)
    else:
        axes.step(numbers, counts, where="post", color=colour, linewidth=1.4)
        axes.fill_between(numbers, counts, step="post", color=colour, alpha=0.12, linewidth=0)
    _from_zero(axes, max(counts))
    label_ends(axes, [Label(y=counts[-1], text=f"{counts[-1]:,}", colour=colour)])


def _mark_update(axes: Any, count: int) -> None:
    axes.set_ylim(top=max(axes.get_ylim()[1], 1.15 * count))
    axes.axhline(count, color=MUTED, linewidth=0.9, linestyle=(0, (4, 4)))
    axes.annotate(
        f"supervised update at {count}",
        xy=(0, count),
        xycoords=("axes fraction", "data"),
        xytext=(2, 4),
        textcoords="offset points",
        fontsize=8,
        color=MUTED,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
    )


def _from_zero(axes: Any, most: float) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(0, 1.08 * max(1, most))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
