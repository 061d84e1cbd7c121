"""Held-out accuracy over the iterations, one panel for each kind of benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import PercentFormatter

from relift.report.data import ReportData, short_name
from relift.report.style import LINES, MARKERS, Label, label_ends, new_figure, quiet, whole_iterations

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from relift.run.summary import RunSummary

KINDS = {
    "mastered": "the base solves them",
    "border": "the base solves some rollouts",
    "unreached": "the base solves next to none",
}
"""In the order of the panels; any other kind comes after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    iteration: int
    share: float
    low: float
    high: float
    is_full: bool


@dataclass(slots=True, kw_only=True)
class Curve:
    """One benchmark over the iterations."""

    name: str
    kind: str
    points: list[Point]

    @property
    def top(self) -> float:
        return max(point.high if point.is_full else point.share for point in self.points)


def curves_by_kind(data: ReportData, summary: RunSummary) -> dict[str, list[Curve]]:
    """From the evaluations; a benchmark that only the summary knows starts at its base and ends at its result."""
    curves: dict[str, Curve] = {}
    for evaluation in data.evaluations:
        for r in evaluation.results:
            curve = curves.setdefault(
                short_name(r.benchmark), Curve(name=short_name(r.benchmark), kind=r.kind, points=[])
            )
            curve.points.append(
                Point(
                    iteration=evaluation.iteration,
                    share=r.avg_at_k,
                    low=r.low,
                    high=r.high,
                    is_full=evaluation.is_full,
                )
            )
    for name, s in summary.families.items():
        if name not in curves:
            base = Point(iteration=0, share=s.base, low=s.base, high=s.base, is_full=True)
            after = Point(iteration=summary.iterations, share=s.after, low=s.low, high=s.high, is_full=True)
            curves[name] = Curve(name=name, kind=s.kind, points=[base, after])
    kinds = sorted(
        {c.kind for c in curves.values()},
        key=lambda kind: (kind not in KINDS, list(KINDS).index(kind) if kind in KINDS else 0, kind),
    )
    return {kind: [c for c in curves.values() if c.kind == kind] for kind in kinds}


def draw_accuracy(data: ReportData, summary: RunSummary) -> Figure:
    panels = curves_by_kind(data, summary)
    figure = new_figure(11.0, 3.7)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    shown = [point.iteration for curves in panels.values() for curve in curves for point in curve.points]
    # Without kinds there may be one benchmark near zero, which the full scale would flatten.
    top = 1.0 if any(panels) else min(1.0, max(0.05, 1.25 * max(c.top for c in panels[""])))
    for axes, (kind, curves) in zip(grid, panels.items(), strict=True):
        axes.set_ylim(-0.02 * top, 1.02 * top)
        quiet(axes, kind or "accuracy", KINDS.get(kind, ""))
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %", decimals=0 if top > 0.1 else 1))
        whole_iterations(axes, max(shown), min(0, *shown))
        _draw_curves(axes, curves)
    return figure


def _draw_curves(axes: Any, curves: list[Curve]) -> None:
    labels = []
    for index, curve in enumerate(curves):
        colour, marker = LINES[index % len(LINES)], MARKERS[index % len(MARKERS)]
        axes.plot([p.iteration for p in curve.points], [p.share for p in curve.points], color=colour, linewidth=1.8)
        axes.axhline(curve.points[0].share, color=colour, linewidth=0.9, linestyle=(0, (4, 4)), alpha=0.55)
        for is_full, size in ((True, 5.5), (False, 2.8)):
            shown = [p for p in curve.points if p.is_full is is_full]
            if not shown:  # an empty line that is not clipped takes all the room of the layout
                continue
            axes.plot(
                [p.iteration for p in shown],
                [p.share for p in shown],
                linestyle="none",
                marker=marker,
                markersize=size,
                color=colour,
                markeredgecolor="white",
                markeredgewidth=0.6 if is_full else 0.0,
                clip_on=False,
                zorder=3,
            )
        end = curve.points[-1]
        if end.is_full:
            axes.vlines(end.iteration, end.low, end.high, color=colour, linewidth=1.2)
        labels.append(Label(y=end.share, text=f"{curve.name} {end.share:.0%}".replace("%", " %"), colour=colour))
    label_ends(axes, labels)
