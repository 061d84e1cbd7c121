"""How a study's figures are drawn: marks that print and every eye tell apart, labels that do not collide.

Text is drawn as outlines, so that a figure looks the same wherever it is opened; the same input makes the same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from relift.report.style import GRID, INK, LINES, MUTED, spread, to_png
from relift.study.page.view import Method

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "h")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
WIDTH = 7.6
"""Inches of a figure that has a row of the page to itself."""
SHORT = 26
"""Characters of a name in a figure; the tables have all of it."""
COLOURS = {INK: "ink", MUTED: "muted", GRID: "line", "#BBBBBB": "rule", "#FFFFFF": "paper"} | {
    colour: f"mark{index}" for index, colour in enumerate(LINES)
}
"""Colours of a figure to the variables of the page, which have a light and a dark value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFigure:
    """A figure of the page, e.g. name ``"accuracy"``, and what is to be seen in it."""

    name: str
    title: str
    caption: str
    svg: bytes
    png: bytes

    def inline(self) -> str:
        """The SVG as part of a page: its own ids, the page's colours, and its title for who does not see it."""
        text = self.svg.decode()
        text = text[text.index("<svg") :]
        text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*|<style.*?</style>", "", text, flags=re.DOTALL)
        text = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{self.name}-", text)
        for colour, variable in COLOURS.items():
            text = re.sub(rf"{colour}\b", f"var(--{variable})", text, flags=re.IGNORECASE)
        size = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', text)
        assert size is not None
        shown = f'role="img" aria-label="{escape(self.title)}"'
        return text.replace(size[0], shown, 1)


def study_figure(name: str, title: str, caption: str, figure: Figure) -> StudyFigure:
    sink = io.BytesIO()
    with rc_context({"svg.hashsalt": "relift", "svg.fonttype": "path"}):
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    return StudyFigure(name=name, title=title, caption=caption, svg=sink.getvalue(), png=to_png(figure))


def colour_of(method: Method) -> str:
    return LINES[method.number % len(LINES)]


def marker_of(method: Method) -> dict[str, Any]:
    """Colour and shape; hollow for a row without rollouts. No two of the first 77 methods have the same."""
    colour = colour_of(method)
    return {
        "marker": MARKERS[method.number % len(MARKERS)],
        "color": colour,
        "markerfacecolor": "#FFFFFF" if method.is_reference else colour,
        "markeredgecolor": colour if method.is_reference else "#FFFFFF",
        "markeredgewidth": 1.3 if method.is_reference else 0.6,
    }


def dash_of(method: Method) -> Any:
    return DASHES[method.number % len(DASHES)]


def short(name: str, most: int = SHORT) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def share_axis(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=" %", decimals=0))


def unit_of(amount: float) -> tuple[float, str]:
    """What to divide an amount by, and how to say it, e.g. ``(1e12, "×10¹²")``; ones up to 999,999."""
    if amount < 1e6:
        return 1.0, ""
    exponent = 3 * int(math.log10(amount) // 3)
    return 10.0**exponent, "×10" + str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def amount_axis(axes: Any, amounts: Sequence[float], what: str, *, ticks_at_most: int = 6) -> None:
    """An x axis of counts; logarithmic where they lie more than a factor of ten apart, with 0 left of the first."""
    positive = sorted(amount for amount in amounts if amount > 0)
    unit, said = unit_of(positive[0] if positive else 0.0)
    axes.set_xlabel(f"{what}{', ' + said if said else ''}", fontsize=8.5, color=MUTED, loc="right", parse_math=False)
    written = FuncFormatter(lambda value, _: f"{value / unit:,.6g}")
    if not positive or positive[-1] <= 10 * positive[0]:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks_at_most - 1, min_n_ticks=2))
        axes.xaxis.set_major_formatter(written)
        return
    first = positive[0]
    if min(amounts) > 0:
        axes.set_xscale("log")
        axes.set_xlim(0.75 * first, 1.35 * positive[-1])
    else:
        axes.set_xscale("symlog", linthresh=first, linscale=0.5)
        axes.set_xlim(-0.3 * first, 1.5 * positive[-1])
    ticks = [s * 10.0**e for e in range(-3, 25) for s in (1, 2, 5) if first <= s * 10.0**e <= positive[-1]]
    ticks = [*([0.0] if min(amounts) <= 0 else []), *ticks[:: max(1, math.ceil(len(ticks) / (ticks_at_most + 1)))]]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick / unit:,.6g}" for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A point in data units, with its label."""

    x: float
    y: float
    text: str
    colour: str


def name_line_ends(axes: Any, ends: Sequence[Named]) -> None:
    """Labels right of the axes, moved apart, each led to the end of its line."""
    low, high = axes.get_ylim()
    gap = (high - low) * 11.0 / (axes.figure.get_figheight() * 72 * 0.72)
    ordered = sorted(ends, key=lambda end: (end.y, end.text))
    for end, y in zip(ordered, spread([end.y for end in ordered], gap, low, high), strict=True):
        _label(axes, end, (1.05, y), ("axes fraction", "data"), ha="left")


def name_points(axes: Any, points: Sequence[Named]) -> None:
    """Labels beside the points: each takes the nearest free position, led to its point where that is not beside it."""
    axes.figure.draw_without_rendering()
    scale = 72 / axes.figure.dpi
    frame = axes.get_window_extent()
    limits = (frame.x0 * scale, frame.y0 * scale, frame.x1 * scale + 4, frame.y1 * scale)
    at = [tuple(value * scale for value in axes.transData.transform((p.x, p.y))) for p in points]
    widths = [_width(axes, point.text) * scale for point in points]

    def box(index: int, step: tuple[int, float]) -> tuple[float, ...]:
        (x, y), (side, dy) = at[index], step
        left = x + 8 if side > 0 else x - 8 - widths[index]
        return left, y + dy - 5, left + widths[index], y + dy + 5

    marks = [(x - 4, y - 4, x + 4, y + 4) for x, y in at]
    steps = [(side, 10.5 * step) for step in range(-len(points) - 5, len(points) + 6) for side in (1, -1)]
    steps.sort(key=lambda step: (abs(step[1]), -step[0], step[1]))
    chosen: dict[int, tuple[int, float]] = {}
    for index in sorted(range(len(points)), key=lambda i: (-at[i][1], at[i][0])):
        taken = [*marks, *(box(other, step) for other, step in chosen.items())]
        chosen[index] = min(steps, key=lambda step: _over(box(index, step), taken, limits))
    _uncross(chosen, at)
    for index, (side, dy) in chosen.items():
        align = "left" if side > 0 else "right"
        _label(axes, points[index], (8 * side, dy), "offset points", ha=align, is_led=abs(dy) > 6)


def _uncross(chosen: dict[int, tuple[int, float]], at: Sequence[tuple[float, ...]]) -> None:
    """Exchange the heights of two labels on the same side where both are nearer to their points then."""
    for _ in chosen:
        for one, other in combinations(sorted(chosen), 2):
            (side, dy), (other_side, other_dy) = chosen[one], chosen[other]
            apart = at[other][1] - at[one][1]
            new, other_new = other_dy + apart, dy - apart
            if side == other_side and abs(at[other][0] - at[one][0]) < 30 and (
                abs(new) + abs(other_new) < abs(dy) + abs(other_dy) - 0.5
            ):  # fmt: skip
                chosen[one], chosen[other] = (side, new), (other_side, other_new)


def _over(box: tuple[float, ...], taken: Sequence[tuple[float, ...]], limits: tuple[float, ...]) -> float:
    """Square points that a label would lie over others, or outside of the axes."""
    lost = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    inside = max(0.0, min(box[2], limits[2]) - max(box[0], limits[0])) * max(
        0.0, min(box[3], limits[3]) - max(box[1], limits[1])
    )
    return round(lost + 3 * ((box[2] - box[0]) * (box[3] - box[1]) - inside), 3)


def _width(axes: Any, text: str) -> float:
    """In pixels of the figure."""
    probe = axes.text(0, 0, text, fontsize=8, fontweight="bold", parse_math=False)
    width = float(probe.get_window_extent().width)
    probe.remove()
    return width


def _label(axes: Any, point: Named, to: tuple[float, float], frame: Any, *, ha: str, is_led: bool = True) -> None:
    lead = {"arrowstyle": "-", "color": point.colour, "linewidth": 0.6, "alpha": 0.7, "shrinkA": 1, "shrinkB": 3}
    label = axes.annotate(
        point.text,
        xy=(point.x, point.y),
        xycoords="data",
        xytext=to,
        textcoords=frame,
        ha=ha,
        va="center",
        fontsize=8,
        color=point.colour,
        fontweight="bold",
        annotation_clip=False,
        parse_math=False,
        arrowprops={**lead, "relpos": (0 if ha == "left" else 1, 0.5)} if is_led else None,
    )
    if frame == "offset points":
        label.set_in_layout(False)


def beside(axes: Any, row: float, offset: float, text: str, *, colour: str = INK, ha: str = "left") -> None:
    """Words right of the axes at a row, their edge so many points away from them."""
    axes.annotate(
        text, xy=(1, row), xycoords=("axes fraction", "data"), xytext=(offset, 0), textcoords="offset points", ha=ha,
        va="center", fontsize=8.5, color=colour, annotation_clip=False,
    )  # fmt: skip


def row_names(axes: Any, names: Sequence[str], colours: Sequence[str] | None = None) -> None:
    """Rows from the top, each with its name on the left."""
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels([short(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for label, colour in zip(axes.get_yticklabels(), colours or [INK] * len(names), strict=True):
        label.set(color=colour, fontweight="bold" if colours else "normal", fontsize=8.5)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
