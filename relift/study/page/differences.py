"""Planned comparisons as a forest, what was forgotten and learned, and lift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from relift.report.style import BLUE, GRID, INK, MUTED, VERMILION, new_figure, quiet
from relift.study.intervals import LEAST_SEEDS, over_seeds
from relift.study.page.drawing import WIDTH, beside, row_names, short
from relift.study.page.view import Method, fell_short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from relift.study.results import PairResult

MINUS = "\N{MINUS SIGN}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, e.g. ``"+24.1"``."""
    return f"{100 * difference:+.1f}".replace("-", MINUS)


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def draw_forest(pairs: Sequence[PairResult]) -> Figure:
    """A row for each pair with its interval; what lost is hollow and square, so that print shows it too."""
    figure = new_figure(WIDTH, 1.15 + 0.3 * len(pairs))
    axes = figure.add_subplot()
    quiet(axes, "difference in held-out accuracy", "percentage points, 95 % interval; a fine stroke: what was expected")
    axes.axvline(0, color=INK, linewidth=0.9)
    for row, pair in enumerate(pairs):
        lost = fell_short(pair)
        colour = VERMILION if lost else BLUE
        axes.hlines(row, 100 * pair.low, 100 * pair.high, color=colour, linewidth=2)
        axes.plot(
            [100 * pair.mean], [row], marker="s" if lost else "o", markersize=7.5, color=colour, markeredgewidth=1.4,
            markerfacecolor="#FFFFFF" if lost else colour,
        )  # fmt: skip
        if pair.expected is not None:
            axes.vlines(100 * pair.expected, row - 0.32, row + 0.32, color=MUTED, linewidth=1.6)
        written = f"{points(pair.mean)}  ({points(pair.low)} to {points(pair.high)})"
        beside(axes, row, 8, written)
        beside(axes, row, 136, f"p {'' if pair.p < 0.001 else '= '}{p_value(pair.p)}")
    row_names(axes, [f"{short(pair.first)} {MINUS} {short(pair.second)}" for pair in pairs])
    return figure


def draw_changes(methods: Sequence[Method]) -> Figure:
    """Shares of the held-out questions: forgotten to the left, learned to the right."""
    figure = new_figure(WIDTH, 1.15 + 0.25 * len(methods))
    axes = figure.add_subplot()
    quiet(axes, "forgotten and learned", "percent of held-out questions, mean over seeds")
    for row, method in enumerate(methods):
        forgotten, learned = changes(method)
        axes.barh(row, -100 * forgotten, height=0.62, facecolor="#FFFFFF", edgecolor=VERMILION, linewidth=1.4)
        axes.barh(row, 100 * learned, height=0.62, color=BLUE)
        for value, side in ((-forgotten, "right"), (learned, "left")):
            axes.annotate(
                f"{100 * abs(value):.1f}", xy=(100 * value, row), xytext=(-4 if side == "right" else 4, 0),
                textcoords="offset points", ha=side, va="center", fontsize=8, color=INK,
            )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.margins(x=0.08)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f} %")
    row_names(axes, [method.name for method in methods])
    return figure


def changes(method: Method) -> tuple[float, float]:
    """Shares of the held-out questions that were forgotten and learned, means over the seeds."""
    return tuple(  # type: ignore[return-value]
        method.average(lambda run, what=what: getattr(run, what) / max(1, run.asked))  # type: ignore[misc]
        for what in ("forgotten", "learned")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledLift:
    """Lift of a method at a distance: mean over the runs that define it, and its 95 % interval.

    Over seeds where at least four define it, otherwise given the seeds that do.
    """

    lift: float
    low: float
    high: float
    over: Literal["seeds", "questions"]
    runs: int
    taught_questions: int
    control_questions: int


def pooled_lift(method: Method, distance: str) -> PooledLift | None:
    """None where no run defines it, which is not a lift of 0."""
    found = [run.lift[distance] for run in method.runs if run.lift is not None and distance in run.lift]
    if not found:
        return None
    mean = fmean(each.lift for each in found)
    taught, controls = sum(each.taught_questions for each in found), sum(each.control_questions for each in found)
    if len(found) >= LEAST_SEEDS:
        over = over_seeds([each.lift for each in found])
        return PooledLift(
            lift=mean, low=over.low, high=over.high, over=over.over, runs=len(found), taught_questions=taught,
            control_questions=controls,
        )  # fmt: skip
    # Runs are independent given their seeds: their half widths add up as variances do.
    down, up = (sqrt(sum((end - each.lift) ** 2 for end, each in side)) for side in (
        [(each.low, each) for each in found], [(each.high, each) for each in found]
    ))  # fmt: skip
    return PooledLift(
        lift=mean,
        low=mean - down / len(found),
        high=mean + up / len(found),
        runs=len(found),
        over="questions",
        taught_questions=taught,
        control_questions=controls,
    )


def distances(methods: Sequence[Method]) -> list[str]:
    """Of all lifts, the nearest first."""
    found = {distance for method in methods for run in method.runs for distance in run.lift or {}}
    return sorted(
        found, key=lambda distance: (not distance.isdigit(), int(distance) if distance.isdigit() else 0, distance)
    )


def later(distance: str) -> str:
    return f"{distance} iteration{'s' * (distance != '1')} later"


def draw_lift(methods: Sequence[Method]) -> Figure | None:
    """A panel for each distance, a row for each method; None where no run defines a lift."""
    columns = distances(methods)
    if not columns:
        return None
    figure = new_figure(WIDTH, 1.2 + 0.25 * len(methods))
    grid = figure.subplots(1, len(columns), sharey=True, sharex=True, squeeze=False)[0]
    for axes, distance in zip(grid, columns, strict=True):
        quiet(axes, later(distance), "lift in points")
        axes.axvline(0, color=INK, linewidth=0.9)
        for row, method in enumerate(methods):
            lift = pooled_lift(method, distance)
            if lift is None:
                axes.annotate(
                    "not defined", xy=(0.5, row), xycoords=("axes fraction", "data"), ha="center", va="center",
                    fontsize=7.5, fontstyle="italic", color=MUTED,
                    bbox={"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 1},
                )  # fmt: skip
                continue
            axes.hlines(row, 100 * lift.low, 100 * lift.high, color=BLUE, linewidth=2)
            axes.plot([100 * lift.lift], [row], marker="o", markersize=6, color=BLUE)
    row_names(grid[0], [method.name for method in methods])
    for axes in grid[1:]:
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    return figure
