"""The page of an evaluation alone: one bar per benchmark with its interval, and the numbers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.ticker import PercentFormatter

from relift.evaluation import pass_interval
from relift.records import EvalResult
from relift.report.data import short_name
from relift.report.page import percent, render_frame
from relift.report.style import BLUE, INK, new_figure, quiet, to_png
from relift.store.folder import write_atomically


def write_evaluation(root: Path, run: str, results: Sequence[EvalResult]) -> list[Path]:
    """Write ``report/index.html`` and ``report/benchmarks.png`` below an evaluation's folder; their paths."""
    png = _draw(results)
    picture, page = root / "report" / "benchmarks.png", root / "report" / "index.html"
    write_atomically(picture, png)
    write_atomically(page, _page(run, results, png).encode())
    return [page, picture]


def _draw(results: Sequence[EvalResult]) -> bytes:
    figure = new_figure(9, 1.3 + 0.36 * len(results))
    axes = figure.add_subplot()
    heights = range(len(results))
    shares = [r.avg_at_k for r in results]
    # Rounding may put the mean a hair outside of its interval.
    errors = [[max(0.0, r.avg_at_k - r.low) for r in results], [max(0.0, r.high - r.avg_at_k) for r in results]]
    axes.barh(heights, shares, height=0.6, color=BLUE, alpha=0.85)
    axes.errorbar(shares, heights, xerr=errors, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
    quiet(axes, "avg@k by benchmark", "share of correct completions, 95 % interval")
    axes.grid(visible=False, axis="y")
    axes.set_yticks(heights, [short_name(r.benchmark) for r in results])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return to_png(figure)


def _page(run: str, results: Sequence[EvalResult], png: bytes) -> str:
    encoded = base64.b64encode(png).decode("ascii")
    interval = "95 % interval"
    heads = ("benchmark", "questions", "k", "avg@k", interval, "pass@k", interval, "tokens a completion", "cut")
    rows = [
        (
            short_name(r.benchmark),
            f"{r.questions:,}",
            str(r.k),
            percent(r.avg_at_k),
            _interval(r.low, r.high),
            percent(r.pass_at_k),
            _interval(*pass_interval(r.pass_at_k, r.questions)),
            f"{r.mean_tokens:,.1f}",
            f"{r.truncated:,}",
        )
        for r in results
    ]
    head = "".join(f"<th class='number'>{escape(h)}</th>" for h in heads)
    body = "\n".join("<tr>" + "".join(f"<td class='number'>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return render_frame(
        title=run,
        run="evaluation",
        lead=f"{len(results)} benchmarks, {sum(r.questions for r in results):,} questions.",
        body=f'<img alt="avg@k by benchmark" src="data:image/png;base64,{encoded}">\n'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>',
    )


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {percent(high)}"
