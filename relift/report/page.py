"""The HTML page of a run: one file, nothing from elsewhere, no script. Whatever a run holds is escaped."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from relift.report.data import ReportData, short_name
from relift.report.figures import ReportFigure

if TYPE_CHECKING:
    from relift.run.summary import FamilyScore, RunSummary

MOST_CHARACTERS = 600
"""Of a completion; of a longer one the beginning and the end are shown, since the answer stands at the end."""


def render_page(data: ReportData, summary: RunSummary, figures: Sequence[ReportFigure]) -> str:
    shown = {figure.file_name: _figure(figure) for figure in figures}
    body = [
        shown.pop("accuracy.png", ""),
        _families(summary),
        *shown.values(),
        _comparisons(data),
        _facts(data, summary),
        _departures(data),
    ]
    return render_frame(
        title=summary.run,
        run=f"recipe {summary.recipe}, seed {summary.seed}",
        lead=_lead(summary),
        body="\n".join(part for part in body if part),
    )


def render_frame(*, title: str, run: str, lead: str, body: str, style: str = "") -> str:
    """The page around a body; ``lead``, ``body`` and ``style`` are HTML and CSS already, the others are escaped."""
    frame = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return frame.substitute(title=escape(title), run=escape(run), lead=lead, body=body, style=style)


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def _lead(summary: RunSummary) -> str:
    taught = f"{summary.used.replace('%', ' %')}, in {summary.iterations:,} iterations."
    if not summary.families:
        return escape(f"No held-out evaluation. {taught}")
    of = f"of {len(summary.families)} benchmarks" if len(summary.families) > 1 else f"on {next(iter(summary.families))}"
    return (
        f"Held-out accuracy {escape(of)}: <b>{percent(summary.mean_base)}</b> before, "
        f"<b>{percent(summary.mean_after)}</b> after. {escape(taught)}"
    )


def _figure(figure: ReportFigure) -> str:
    encoded = base64.b64encode(figure.png).decode("ascii")
    return (
        f"<h2>{escape(figure.title)}</h2>\n"
        f'<p class="caption">{escape(figure.caption)}</p>\n'
        f'<img alt="{escape(figure.title)}" src="data:image/png;base64,{encoded}">'
    )


def _families(summary: RunSummary) -> str:
    if not summary.families:
        return ""
    has_kinds = any(score.kind for score in summary.families.values())
    rows = [_family(name, score, has_kinds) for name, score in summary.families.items()]
    if len(rows) > 1:
        means = _cells(
            percent(summary.mean_base), percent(summary.mean_after), _points(summary.mean_after - summary.mean_base)
        )
        rows.append(f'<tr class="mean"><td>mean</td>{"<td></td>" * has_kinds}{means}<td></td><td></td></tr>')
    heads = _heads(["benchmark", *(["kind"] if has_kinds else [])])
    heads += _heads(["base", "after", "change", "95 % interval"], css="number") + _heads([""])
    key = '<span class="key"><i style="background:var(--base)"></i>base <i style="background:var(--gain)"></i>gained '
    key += '<i style="background:var(--loss)"></i>lost</span>'
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>\n"
        f'<p class="note">{summary.n:,} held-out questions for each, the same before and after; change in percentage '
        f"points.{key}</p>"
    )


def _family(name: str, score: FamilyScore, has_kinds: bool) -> str:
    kind = f"<td>{escape(score.kind)}</td>" if has_kinds else ""
    interval = f"{100 * score.low:.1f} to {percent(score.high)}"
    numbers = _cells(percent(score.base), percent(score.after), _points(score.after - score.base), interval)
    return f"<tr><td>{escape(name)}</td>{kind}{numbers}<td>{_bar(score.base, score.after)}</td></tr>"


def _bar(base: float, after: float) -> str:
    """What the base had in grey, what came on top in blue, what was lost in vermilion."""
    kept, moved = 100 * min(base, after), 100 * abs(after - base)
    change = "gain" if after >= base else "loss"
    return (
        f'<div class="bar"><i class="base" style="left:0;width:{kept:.1f}%"></i>'
        f'<i class="{change}" style="left:{kept:.1f}%;width:{moved:.1f}%"></i></div>'
    )


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")


def _facts(data: ReportData, summary: RunSummary) -> str:
    in_phases = sum(data.phase_seconds.values())
    facts = [
        ("iterations", f"{summary.iterations:,}"),
        ("training questions asked", f"{summary.questions:,}"),
        ("demonstrations used", f"{summary.demonstrations_used:,}"),
        ("rollouts", f"{sum(report.rollouts for report in data.iterations):,}"),
        ("sampled tokens", f"{sum(report.tokens for report in data.iterations):,}"),
        # The report is first drawn while the flow still runs, and only at its end are these two known.
        ("wall seconds", f"{summary.seconds:,.1f}" if summary.seconds else ""),
        ("share of them outside of phases", percent(summary.prefect_share) if summary.seconds else ""),
        ("seconds in phases", f"{in_phases:,.1f}" if in_phases else ""),
        ("weights, SHA-256", summary.weights_sha256),
    ]
    items = "\n".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in facts if value)
    return f"<h2>The run</h2>\n<dl>\n{items}\n</dl>"


def _departures(data: ReportData) -> str:
    if not data.departures:
        return ""
    rows = "\n".join(
        f"<tr><td class='setting'><code>{escape(d.key)}</code></td><td><code>{escape(d.value)}</code></td>"
        f"<td><code>{escape(d.default)}</code></td></tr>"
        for d in data.departures
    )
    heads = _heads(["setting", "here", "default"])
    return (
        "<h2>Configuration that departs from the defaults</h2>\n"
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _comparisons(data: ReportData) -> str:
    if not data.comparisons:
        return ""
    rows = "\n".join(
        f"<tr><td>{escape(short_name(c.source))}</td>"
        + "".join(f'<td class="text">{escape(readable(text))}</td>' for text in (c.text, c.gold, c.before, c.after))
        + "</tr>"
        for c in data.comparisons
    )
    heads = _heads(["benchmark", "question", "gold answer", "the base wrote", "after training"])
    return (
        "<h2>The same question before and after</h2>\n"
        '<p class="caption">The first held-out questions, as they come.</p>\n'
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def readable(text: str) -> str:
    """A completion to look at: blank lines folded, of a long one two thirds for the beginning and one for the end."""
    folded = re.sub(r"\n\s*\n", "\n", text.strip())
    shown = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in folded)
    if not shown:
        return f"(blank, {len(text)} characters)"
    if len(shown) <= MOST_CHARACTERS:
        return shown
    return f"{shown[: 2 * MOST_CHARACTERS // 3]} … {shown[-(MOST_CHARACTERS // 3) :]}"


def _heads(names: Iterable[str], css: str = "") -> str:
    attribute = f' class="{css}"' if css else ""
    return "".join(f"<th{attribute}>{escape(name)}</th>" for name in names)


def _cells(*values: str) -> str:
    return "".join(f'<td class="number">{escape(value)}</td>' for value in values)
