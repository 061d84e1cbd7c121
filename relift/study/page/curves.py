"""Learning curves: held-out accuracy on the way, means over seeds with a band from the lowest seed to the highest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from relift.report.style import MUTED, new_figure, quiet
from relift.study.page.drawing import (
    Named,
    amount_axis,
    colour_of,
    dash_of,
    marker_of,
    name_line_ends,
    share_axis,
    short,
)
from relift.study.page.view import GRPO, Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from relift.study.results import CurvePoint, RunResult

MOST_BANDS = 4
"""Methods whose bands are told apart in one panel."""
COLUMNS = 3
BASE, LAST = -2, -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """An axis that curves are drawn over, e.g. what ``"rollouts"``."""

    what: str
    of: Callable[[CurvePoint], float]
    from_base: bool
    """Whether the base, which has spent nothing, stands before a start that a warm start has paid for."""


ROLLOUTS = Spent(what="rollouts", of=lambda point: point.rollouts, from_base=False)
FLOPS = Spent(what="update FLOPs", of=lambda point: point.update_flops, from_base=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandPoint:
    x: float
    mean: float
    low: float
    high: float


def band(method: Method, spent: Spent) -> list[BandPoint]:
    """A point for each iteration at which every run was evaluated, and one for the ends, wherever these lie."""
    curves = [_points(run, spent) for run in method.runs if run.curve]
    if not curves:
        return []
    shared = [key for key in curves[0] if all(key in curve for curve in curves)]
    found = []
    for key in shared:
        shares = [curve[key][1] for curve in curves]
        x = fmean(curve[key][0] for curve in curves)
        found.append(BandPoint(x=x, mean=fmean(shares), low=min(shares), high=max(shares)))
    return sorted(found, key=lambda point: point.x)


def _points(run: RunResult, spent: Spent) -> dict[float, tuple[float, float]]:
    base, *others = run.curve
    if not others or others[0].iteration > 0:
        others = [base, *others]  # it is the start
    keys = [*(point.iteration for point in others[:-1]), LAST]
    found: dict[float, tuple[float, float]] = {
        key: (spent.of(point), point.mean) for key, point in zip(keys, others, strict=True)
    }
    return {BASE: (0.0, base.mean), **found} if spent.from_base and base is not others[0] else found


def draw_overview(methods: Sequence[Method], spent: Spent) -> Figure:
    """All methods in one panel, each named at its end; with bands where there are few."""
    figure = new_figure(5.2, max(3.6, 1.5 + 0.19 * len(methods)))
    axes = figure.add_subplot()
    quiet(axes, f"over {spent.what}", "mean over seeds")
    curves = {method.name: band(method, spent) for method in methods}
    _limits(axes, list(curves.values()), spent)
    ends = []
    for method in methods:
        points = curves[method.name]
        if not points:
            continue
        _line(axes, method, points, has_band=len(methods) <= MOST_BANDS)
        end = points[-1]
        text = f"{short(method.name)} {100 * end.mean:.0f}"
        x = end.x if end.x > points[0].x else axes.get_xlim()[1]
        ends.append(Named(x=x, y=end.mean, text=text, colour=colour_of(method)))
    name_line_ends(axes, ends)
    return figure


def draw_each(methods: Sequence[Method], spent: Spent) -> Figure:
    """A panel for each method with its band, before all the others in grey."""
    rows = -(-len(methods) // COLUMNS)
    figure = new_figure(5.2, 0.5 + 1.2 * rows)
    grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    curves = {method.name: band(method, spent) for method in methods}
    _limits(grid[0], list(curves.values()), spent, ticks_at_most=4)
    for axes, method in zip(grid, methods, strict=False):
        for name, points in curves.items():
            style: dict[str, Any] = {"color": "#BBBBBB", "linewidth": 0.5}
            if name == GRPO:
                style = {"color": MUTED, "linewidth": 0.9, "linestyle": (0, (4, 3))}
            axes.plot([p.x for p in points], [p.mean for p in points], zorder=1, **style)
        quiet(axes, "")
        axes.set_title(
            short(method.name, 20), loc="left", fontsize=7.5, fontweight="bold", color=colour_of(method), pad=4,
            parse_math=False,
        )  # fmt: skip
        axes.tick_params(labelsize=6.5, pad=3)
        if curves[method.name]:
            _line(axes, method, curves[method.name], has_band=True, is_solid=True)
    label = grid[0].get_xlabel()
    for index, axes in enumerate(grid):
        axes.set_visible(index < len(methods))
        is_lowest = index + COLUMNS >= len(methods)
        axes.tick_params(labelbottom=is_lowest)
        axes.set_xlabel(label if is_lowest else "", fontsize=6.5, color=MUTED, loc="right", parse_math=False)
    return figure


def _limits(axes: Any, curves: Sequence[Sequence[BandPoint]], spent: Spent, ticks_at_most: int = 6) -> None:
    xs = [point.x for points in curves for point in points] or [0.0]
    lows = [point.low for points in curves for point in points] or [0.0]
    highs = [point.high for points in curves for point in points] or [1.0]
    margin = max(0.02, 0.06 * (max(highs) - min(lows)))
    axes.set_ylim(max(-0.02, min(lows) - margin), min(1.02, max(highs) + margin))
    span = max(xs) or 1.0
    axes.set_xlim(-0.03 * span, 1.03 * span)
    amount_axis(axes, [0.0, span], spent.what, ticks_at_most=ticks_at_most)
    share_axis(axes.yaxis)


def _line(axes: Any, method: Method, points: Sequence[BandPoint], *, has_band: bool, is_solid: bool = False) -> None:
    xs, means = [point.x for point in points], [point.mean for point in points]
    colour, dashes = colour_of(method), "-" if is_solid else dash_of(method)
    if has_band:
        lows, highs = [point.low for point in points], [point.high for point in points]
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.22, linewidth=0)
    if xs[-1] == xs[0]:
        # It spends nothing of this: a level to compare with, not a curve.
        axes.axhline(means[-1], color=colour, linewidth=0.7, linestyle=(0, (1, 2.5)))
    marked = sorted({0, len(xs) // 2, len(xs) - 1})
    axes.plot(
        xs, means, linewidth=1.4, linestyle=dashes, markersize=4 if is_solid else 5, markevery=marked, zorder=3,
        **marker_of(method),
    )  # fmt: skip
