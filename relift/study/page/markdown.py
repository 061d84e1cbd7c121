"""A study in short, in Markdown: losses, planned comparisons, methods. What a README quotes is taken from here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean

from relift.study.page.differences import points
from relift.study.page.sentences import intervals_said, lead, losses_said, no_losses, unfinished
from relift.study.page.tables import amount, flops_in, percent, verdict
from relift.study.page.view import Method, StudyView

SPECIAL = "\\`*_{}[]<>#|&~$"


def render_markdown(view: StudyView) -> str:
    """The whole file; the same results make the same bytes."""
    result = view.result
    losses = [f"- **{plain(what)}**{plain(said)}" for what, said in losses_said(view)] or [no_losses(view)]
    parts = [
        f"# {plain(result.title or result.study)}",
        plain(lead(view)) + (f" **{unfinished(view)}**" if result.missing else ""),
        "## Losses first",
        "\n".join(losses),
    ]
    if result.planned:
        parts += ["## Planned comparisons", planned_markdown(view)]
    parts += ["## Methods", methods_markdown(view)]
    if view.methods:
        parts += [intervals_said(view), "![Final accuracy by method](figures/accuracy.png)"]
    parts.append(made(view))
    return "\n\n".join(parts) + "\n"


def planned_markdown(view: StudyView) -> str:
    """Comparisons that were named before the first run; those that no seed has both runs of at the end."""
    rows = []
    for pair in view.planned:
        expected = "" if pair.expected is None else f"at least {points(pair.expected)}"
        seeds = ", ".join(f"{seed}: {points(value)}" for seed, value in pair.by_seed.items())
        interval = f"{points(pair.low)} to {points(pair.high)}"
        rows.append([f"{pair.first} − {pair.second}", points(pair.mean), interval, expected, verdict(pair), seeds])
    rows += [[name.replace(" - ", " − "), "", "", "", "not yet", ""] for name in view.not_yet]
    return _table(["comparison", "points", "95 %", "expected", "outcome", "by seed"], rows)


def methods_markdown(view: StudyView) -> str:
    """The best first, with the means of each kind of family where there are kinds; at the end those without a run."""
    kinds = list(dict.fromkeys(family.kind for family in view.families.values() if family.kind))
    flops_head, flops = flops_in(view.methods)
    rows = []
    for m in view.ranked:
        name = f"{m.name} (no rollouts)" if m.is_reference else m.name
        of_seeds = f" ({len(m.runs)} of {len(m.runs) + len(m.missing)} seeds)" if m.missing else ""
        row = [name + of_seeds, percent(m.mean.mean), f"{percent(m.mean.low)} to {percent(m.mean.high)}"]
        row += [_of_kind(m, kind) for kind in kinds]
        row += [amount(m.average(lambda run: run.demonstrations)), flops(m.average(lambda run: run.update_flops))]
        rows.append(row)
    heads = ["method", "after, %", "95 %", *kinds, "demonstrations", flops_head]
    rows += [[name, "not yet", *[""] * (len(heads) - 2)] for name in view.waiting]
    return _table(heads, rows)


def _of_kind(method: Method, kind: str) -> str:
    shares = [f.after for run in method.runs for f in run.families.values() if f.kind == kind]
    return percent(fmean(shares)) if shares else ""


def made(view: StudyView) -> str:
    """When, with what and how, e.g. ``2026-11-30, relift 0.2.0, torch 2.13.0 (x86_64, cpu): `...```."""
    result = view.result
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    machines = "; ".join(result.machines)
    base = "" if view.base is None else f"The base has {percent(view.base)} %. "
    return f"{base}{result.date[:10]}, {plain(versions)} ({plain(machines)}): {_code(result.command)}"


def plain(text: str) -> str:
    """Text that Markdown takes for nothing but text, on one line."""
    text = re.sub(r"\s*[\r\n]\s*", " ", text)
    return "".join(f"\\{char}" if char in SPECIAL else char for char in text)


def _code(text: str) -> str:
    """In as many backticks as it takes."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Of plain text; the first column is words, the rest numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *[[plain(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
