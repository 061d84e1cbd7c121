"""How the figures look: colours told apart by everyone, quiet axes, lines labelled at their ends."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Okabe and Ito, "Color Universal Design" (2008), darkened where a thin line on white would be too faint.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#00805F", "#AA4A84", "#C98500", "#3A93C4"
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "#333333")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, MUTED, GRID = "#222222", "#6B6B6B", "#E4E4E4"

DPI = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Words beside the end of a line at height ``y`` in data units."""

    y: float
    text: str
    colour: str


def new_figure(width: float, height: float) -> Figure:
    """In inches; belongs to nobody else, since pyplot's state is shared by the whole process."""
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06, wspace=0.04)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def quiet(axes: Any, title: str, subtitle: str = "") -> None:
    """Title on the left, a muted line below it, horizontal grid lines, no frame. No text is read as a formula."""
    axes.set_title(
        title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=22 if subtitle else 8, parse_math=False
    )
    if subtitle:
        axes.annotate(
            subtitle,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, 8),
            textcoords="offset points",
            fontsize=8.5,
            color=MUTED,
            parse_math=False,
        )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#BBBBBB")
    axes.tick_params(colors=MUTED, labelsize=8.5, length=0, pad=5)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def whole_iterations(axes: Any, last: float, first: float = 0) -> None:
    """An x axis from ``first`` to ``last`` with ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    # A little room on both sides, so that the first and the last marker are whole.
    margin = max(0.2, 0.03 * last)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_xlabel("iteration", fontsize=8.5, color=MUTED, loc="right")


def label_ends(axes: Any, labels: Sequence[Label]) -> None:
    """Write the labels right of the axes, moved apart where they would lie over each other."""
    low, high = axes.get_ylim()
    # Heights in points decide how close two labels may come; the layout leaves the axes about 0.7 of the figure.
    points = axes.figure.get_figheight() * 72 * 0.7
    gap = (high - low) * 11.5 / points
    ordered = sorted(labels, key=lambda label: label.y)
    for label, y in zip(ordered, spread([label.y for label in ordered], gap, low, high), strict=True):
        axes.annotate(
            label.text,
            xy=(1, y),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=label.colour,
            fontweight="bold",
            annotation_clip=False,
            parse_math=False,
        )


def spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Sorted heights moved so that neighbours are at least ``gap`` apart, a crowd evenly around its own mean.

    They stay between ``low`` and ``high`` as long as there is room for all of them.
    """
    crowds: list[list[float]] = []
    for height in heights:
        crowds.append([height])
        while (
            len(crowds) > 1
            and _centre(crowds[-1], gap, low, high) - _centre(crowds[-2], gap, low, high)
            < gap * (len(crowds[-1]) + len(crowds[-2])) / 2
        ):
            crowds[-2:] = [crowds[-2] + crowds[-1]]
    return [
        _centre(crowd, gap, low, high) + gap * (index - (len(crowd) - 1) / 2)
        for crowd in crowds
        for index in range(len(crowd))
    ]


def _centre(crowd: Sequence[float], gap: float, low: float, high: float) -> float:
    """Mean of a crowd of labels, moved inside where its ends would stand out."""
    half = gap * (len(crowd) - 1) / 2
    return max(low + half, min(high - half, sum(crowd) / len(crowd)))
