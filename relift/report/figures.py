"""The figures of a report, each with a caption that says what is to be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relift.report.accuracy import draw_accuracy
from relift.report.data import ReportData
from relift.report.interleave import draw_interleave, is_teaching
from relift.report.seconds import draw_seconds
from relift.report.style import to_png

if TYPE_CHECKING:
    from relift.run.summary import RunSummary

HARD = (
    "Unsolved: questions of each batch that the gate calls hardest, since no rollout solves them; in a long run the "
    "line is the mean of the last ten iterations."
)
TEACHING = (
    f"{HARD} Buffer: demonstrations that wait for a supervised update. Taught: demonstrations that supervised updates "
    "have trained on."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFigure:
    """A figure as PNG, e.g. file name ``"accuracy.png"``."""

    file_name: str
    title: str
    caption: str
    png: bytes


def draw_figures(data: ReportData, summary: RunSummary) -> list[ReportFigure]:
    """Those that the run has data for, in the order of the page."""
    figures = []
    if data.evaluations or summary.families:
        figures.append(
            ReportFigure(
                file_name="accuracy.png",
                title="Held-out accuracy",
                caption="Questions that training never sees. Large markers: all held-out questions, with the 95 % "
                "interval; small ones: the first few of each, and so less certain. Dashed: the base model.",
                png=to_png(draw_accuracy(data, summary)),
            )
        )
    if data.iterations:
        figures += [
            ReportFigure(
                file_name="interleave.png",
                title="What was hard, and what was taught" if is_teaching(data) else "What was hard",
                caption=TEACHING if is_teaching(data) else f"{HARD} Nothing was taught.",
                png=to_png(draw_interleave(data)),
            ),
            ReportFigure(
                file_name="seconds.png",
                title="Where the time went",
                caption="Wall seconds of each phase. What follows the last iteration (final evaluation, checkpoint, "
                "this report) is not included; source runs beside rl_update.",
                png=to_png(draw_seconds(data)),
            ),
        ]
    return figures
