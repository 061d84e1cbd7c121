"""The page that people show of a study: one file, nothing from elsewhere, no script; its figures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from relift.report.page import render_frame
from relift.store.folder import write_atomically
from relift.study.page.drawing import StudyFigure
from relift.study.page.figures import study_figures
from relift.study.page.markdown import render_markdown
from relift.study.page.sentences import intervals_said, lead, losses_said, no_losses, unfinished
from relift.study.page.tables import (
    families_table,
    lift_table,
    methods_table,
    pairs_table,
    pass_table,
    runs_table,
    settings_table,
    transitions_table,
)
from relift.study.page.view import StudyView, study_view
from relift.study.results import RunResult, StudyResult

MARKDOWN = "README.md"
"""The same in short, as a forge shows it beside the folder's files."""
MOST_OPEN = 12
"""Rows of a table of details that stands open."""
BANDS_NOTE = (
    '<p class="note">Numbers of held-out questions, means over seeds. Of a question\'s samples are right, unsolved: '
    "none; sometimes: some; always: all. Before is after the warm start of a method that has one, so what that alone "
    "taught or cost is not in here, but above.</p>"
)


def write_page(result: StudyResult, runs: Sequence[RunResult], folder: Path) -> Path:
    """Write ``index.html``, ``README.md`` and ``figures/<name>.svg`` and ``.png`` into the study's folder; the page's
    path.

    Runs that have not ended are shown as such. The same results make the same bytes. Raises StoreError where the folder
    cannot be written.
    """
    view = study_view(result, runs)
    figures = study_figures(view)
    for figure in figures.values():
        write_atomically(folder / "figures" / f"{figure.name}.svg", figure.svg)
        write_atomically(folder / "figures" / f"{figure.name}.png", figure.png)
    page = folder / "index.html"
    write_atomically(page, render_page(view, figures).encode("utf-8", "replace"))
    write_atomically(folder / MARKDOWN, render_markdown(view).encode("utf-8", "replace"))
    return page


def render_page(view: StudyView, figures: dict[str, StudyFigure]) -> str:
    result = view.result
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    parts = [
        _facts(view),
        _losses(view),
        _planned(view, figures),
        _exploratory(view),
        _shown("Final accuracy", figures, ["accuracy"], methods_table(view) if view.methods or view.waiting else ""),
        _side_by_side("Learning curves", figures, ["curves-rollouts", "curves-flops"]),
        _side_by_side("", figures, ["curves-rollouts-each", "curves-flops-each"]),
        _side_by_side("Final accuracy against cost", figures, ["demonstrations", "flops"]),
    ]
    if view.methods:
        parts += [
            f"<h2>Families before and after</h2>\n{families_table(view)}\n{pass_table(view)}\n"
            '<p class="note">Percent of held-out questions right, means over the seeds.</p>',
            _shown("Difficulty, forgotten and learned", figures, ["changes"], transitions_table(view) + BANDS_NOTE),
            _shown("Lift by method", figures, ["lift"], lift_table(view)),
            _settings(view),
            _details("Every run", runs_table(view), sum(len(m.runs) for m in view.methods)),
        ]
    parts.append(_to_know(view))
    return render_frame(
        title=result.title or result.study,
        run=f"study {result.study}, {result.date}",
        lead=_lead(view),
        body="\n".join(part for part in parts if part),
        style=style,
    )


def _lead(view: StudyView) -> str:
    missing = f" <b>{unfinished(view)}</b>" if view.result.missing else ""
    return escape(lead(view)) + missing


def _facts(view: StudyView) -> str:
    result = view.result
    names = [*(method.name for method in view.methods), *view.waiting]
    facts = [
        ("compared", ", ".join(names)),
        ("seeds", ", ".join(map(str, result.seeds))),
        ("recipe", result.recipe),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
        ("machines", "; ".join(result.machines)),
        ("missing", ", ".join(result.missing)),
    ]
    items = "\n".join(f"<dt>{what}</dt><dd>{escape(value)}</dd>" for what, value in facts if value)
    command = f"<dt>command</dt><dd><code>{escape(result.command)}</code></dd>"
    return f'<dl class="facts">\n{items}\n{command}\n</dl>'


def _losses(view: StudyView) -> str:
    items = [f"<li><b>{escape(what)}</b>{escape(said)}</li>" for what, said in losses_said(view)]
    shown = "<ul>\n" + "\n".join(items) + "\n</ul>" if items else f"<p>{no_losses(view)}</p>"
    return f'<section class="losses"><h2>Losses first</h2>\n{shown}</section>'


def _planned(view: StudyView, figures: dict[str, StudyFigure]) -> str:
    if not view.result.planned:
        return ""
    note = '<p class="note">Named before the first run; each stands alone. Differences in percentage points.</p>'
    return _shown(
        "Planned comparisons", figures, ["planned"], pairs_table(view.planned, view.not_yet, planned=True) + note
    )


def _exploratory(view: StudyView) -> str:
    pairs = view.exploratory
    if not pairs:
        return ""
    clear = sum(pair.p_adjusted < 0.05 for pair in pairs)
    note = (
        f'<p class="caption">Exploratory: {len(pairs)} pairs that nobody named beforehand; p is Holm-corrected over '
        f"all of them, {clear} below 0.05. Each interval is of its pair alone.</p>"
    )
    return _details("Exploratory comparisons", pairs_table(pairs, planned=False), len(pairs), note)


def _settings(view: StudyView) -> str:
    shown = settings_table(view)
    note = '<p class="note">Settings that differ between methods; what they share is left out.</p>'
    return f"<h2>How the methods differ</h2>\n{shown}\n{note}" if shown else ""


def _details(title: str, shown: str, rows: int, note: str = "") -> str:
    opened = " open" if rows <= MOST_OPEN else ""
    summary = f"<summary>{rows:,} row{'s' * (rows != 1)}</summary>"
    return f"<h2>{title}</h2>\n{note}<details{opened}>{summary}\n{shown}\n</details>"


def _figure(figure: StudyFigure, has_title: bool = False) -> str:
    title = f"<h3>{escape(figure.title)}</h3>" if has_title else ""
    return (
        f'<figure>{title}<div class="scroll">{figure.inline()}</div>\n<figcaption>{escape(figure.caption)}'
        f"</figcaption></figure>"
    )


def _shown(title: str, figures: dict[str, StudyFigure], names: Sequence[str], after: str = "") -> str:
    drawn = "\n".join(_figure(figures[name]) for name in names if name in figures)
    return f'<h2>{title}</h2>\n<div class="wide">{drawn}</div>\n{after}'


def _side_by_side(title: str, figures: dict[str, StudyFigure], names: Sequence[str]) -> str:
    drawn = "\n".join(_figure(figures[name]) for name in names if name in figures)
    head = f"<h2>{title}</h2>\n" if title else ""
    return f'{head}<div class="pair">{drawn}</div>' if drawn else ""


def _to_know(view: StudyView) -> str:
    items = [said] if (said := intervals_said(view)) else []
    if view.result.references:
        items.append(
            "Methods without rollouts are reference rows, marked so: their cost is not held equal to the others'."
        )
    if view.result.missing:
        items.append(
            "The study is not finished. Numbers are of the runs that have ended, and methods are not at the same seeds."
        )
    if used := view.result.budget_used:
        most = max(used, key=lambda name: used[name])
        items.append(
            f"A run ends at the first iteration boundary where its budget is spent: most of it was spent by {most}, "
            f"{used[most]:.1%}."
        )
    if untaught := ", ".join(view.untaught):
        items.append(f"The number of demonstrations that {untaught} might teach is 0: what it goes by taught none.")
    items += [
        "Seconds are what the machine took, beside whatever else it did; they were never held equal.",
        "Rollouts are completions sampled to train on; probes and evaluations are none. Update FLOPs are those of all "
        "updates; sampling is not in them.",
        "Forgotten: a held-out question right in more than half of the samples before, and not after.",
        "Lift compares questions after they were taught with like questions that never are. It is defined where a "
        "question was called hardest before it was taught; elsewhere it is “not defined”, which is not 0.",
    ]
    listed = "\n".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<h2>What a reader should know</h2>\n<ul>\n{listed}\n</ul>"
