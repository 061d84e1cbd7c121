"""Final accuracy: by method with intervals (the README's picture), and against what it was bought with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from relift.report.style import INK, MUTED, new_figure, quiet
from relift.study.page.drawing import (
    WIDTH,
    Named,
    amount_axis,
    beside,
    colour_of,
    marker_of,
    name_points,
    row_names,
    share_axis,
    short,
)
from relift.study.page.view import Method, StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from relift.study.results import RunResult


def draw_accuracy(view: StudyView) -> Figure:
    """A row for each method, the best on top."""
    methods = view.ranked
    figure = new_figure(WIDTH, 1.15 + 0.27 * len(methods))
    axes = figure.add_subplot()
    quiet(axes, "held-out accuracy after training", _intervals(methods))
    ends = []
    for row, method in enumerate(methods):
        mean = method.mean
        low, high = max(0.0, mean.low), min(1.0, mean.high)
        axes.hlines(row, low, high, color=colour_of(method), linewidth=2)
        axes.plot(
            [run.mean for run in method.runs], [row] * len(method.runs), linestyle="none", marker="|", markersize=7,
            color=INK, markeredgewidth=0.8, zorder=2,
        )  # fmt: skip
        axes.plot([mean.mean], [row], markersize=7.5, linestyle="none", zorder=3, clip_on=False, **marker_of(method))
        demonstrations = method.average(lambda run: run.demonstrations)
        ends += [low, high, mean.mean, *(run.mean for run in method.runs)]
        beside(axes, row, 46, f"{100 * mean.mean:.1f} %", ha="right")
        beside(axes, row, 124, f"{demonstrations:,.0f}", colour=MUTED, ha="right")
        if method.is_reference:
            beside(axes, row, 132, "no rollouts", colour=MUTED)
    for offset, head in ((46, "mean"), (124, "demonstrations")):
        axes.annotate(
            head, xy=(1, 1), xycoords="axes fraction", xytext=(offset, 24), textcoords="offset points", ha="right",
            fontsize=8.5, color=MUTED,
        )  # fmt: skip
    row_names(axes, [method.name for method in methods], [colour_of(method) for method in methods])
    if view.base is not None:
        ends.append(view.base)
        axes.axvline(view.base, color=MUTED, linewidth=0.9, linestyle=(0, (4, 4)))
        axes.annotate(
            "base", xy=(view.base, 0), xycoords=("data", "axes fraction"), xytext=(3, 3), textcoords="offset points",
            fontsize=8, color=MUTED,
        )  # fmt: skip
    margin = 0.03 * (max(ends) - min(ends)) + 0.005
    axes.set_xlim(max(0.0, min(ends) - margin), min(1.0, max(ends) + margin))
    share_axis(axes.xaxis)
    return figure


def _intervals(methods: Sequence[Method]) -> str:
    over = {method.mean.over for method in methods}
    which = "over seeds" if over == {"seeds"} else "over questions, given the seeds"
    return f"mean, 95 % interval {which if len(over) == 1 else 'as the table says'}, and each seed (thin strokes)"


def draw_bought(methods: Sequence[Method], what: str, amount: Callable[[RunResult], float]) -> Figure:
    """Final accuracy against an amount: seeds as small points, means as large ones."""
    figure = new_figure(5.2, max(3.8, 1.8 + 0.2 * len(methods)))
    axes = figure.add_subplot()
    quiet(axes, f"against {what}", "large: mean; small: each seed")
    points = []
    for method in methods:
        style = marker_of(method)
        seeds = [amount(run) for run in method.runs]
        axes.plot(
            seeds, [run.mean for run in method.runs], linestyle="none", markersize=2.8, alpha=0.55, zorder=2,
            **{**style, "markeredgewidth": 0.5},
        )  # fmt: skip
        mean = (method.average(amount), method.mean.mean)
        axes.plot([mean[0]], [mean[1]], linestyle="none", markersize=7.5, zorder=3, **style)
        points.append(Named(x=mean[0], y=mean[1], text=short(method.name), colour=colour_of(method)))
    shares = [run.mean for method in methods for run in method.runs] or [0.0, 1.0]
    margin = max(0.02, 0.07 * (max(shares) - min(shares)))
    axes.set_ylim(max(-0.02, min(shares) - margin), min(1.02, max(shares) + margin))
    share_axis(axes.yaxis)
    amounts = [amount(run) for method in methods for run in method.runs]
    amount_axis(axes, amounts, what)
    name_points(axes, points)
    return figure
