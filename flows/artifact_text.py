"""What the page of a flow run shows of its run: text and rows for Prefect's artifacts, small however long the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.terminal.text import position
from relift.evaluation import pass_interval
from relift.records import EvalResult, IterationReport
from relift.run.summary import RunSummary

MOST_ROWS = 200
"""Of the table of iterations: the first ones go, metrics.jsonl keeps them all."""
BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 60
SHA_CHARACTERS = 16

Row = dict[str, str | int | float]


def iteration_rows(reports: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row per iteration, newest first: the top of a table is what a person sees."""
    return [_row(report) for report in reversed(reports[-MOST_ROWS:])]


def iteration_line(report: IterationReport, iterations: int | None) -> str:
    """The iteration in the flow run's log."""
    line = (
        f"{position(report.iteration + 1, iterations)}: accuracy {report.accuracy:.1%}, {report.unsolved} of "
        f"{report.questions} questions hardest, {report.buffer} demonstrations wait, {report.taught} taught"
    )
    if report.lacking:
        line += f", refill came to its cap: {report.signal} groups with signal, {report.lacking} short of a batch"
    return line


def summary_text(summary: RunSummary, reports: Sequence[Mapping[str, Any]], *, uri: str, has_snapshot: bool) -> str:
    """The run on one page of Markdown: what it came to, what it took, where everything lies, how to ask further."""
    parts = [f"# {summary.run}", _headline(summary)]
    if summary.families:
        parts.append(_table(summary))
    if reports:
        parts.append(_course(reports))
    parts.append(_spent(summary))
    if summary.teacher:
        parts.append(f"Teacher: {summary.teacher}")
    parts.append(_artifacts(summary, uri))
    if has_snapshot:
        parts.append(_questions_to_ask(uri))
    return "\n\n".join(parts) + "\n"


def evaluation_text(run: str, model: str, results: Sequence[EvalResult], *, uri: str) -> str:
    """The same for an evaluation without training."""
    mean = sum(r.avg_at_k for r in results) / len(results)
    lines = [_cells(["benchmark", "questions", "k", "avg@k", "95 % interval", "pass@k", "95 % interval"])]
    lines.append(_cells(["---", "---:", "---:", "---:", "---:", "---:", "---:"]))
    for r in results:
        low, high = pass_interval(r.pass_at_k, r.questions)
        shares = [f"**{r.avg_at_k:.1%}**", f"{r.low:.1%} to {r.high:.1%}"]
        shares += [f"{r.pass_at_k:.1%}", f"{low:.1%} to {high:.1%}"]
        lines.append(_cells([r.benchmark, f"{r.questions:,}", str(r.k), *shares]))
    paths = {"report with a figure": "report/index.html", "ledger (DuckDB)": "hard_examples.duckdb"}
    parts = [
        f"# {run}",
        f"**{model}**: **{mean:.1%}** correct, mean over {len(results)} benchmarks.",
        "\n".join(lines),
        _table_of_paths(paths, uri),
    ]
    return "\n\n".join(parts) + "\n"


def link_to(uri: str, path: str) -> str:
    """A link to an artifact: ``file://`` for a folder of this machine, ``s3://`` for a bucket."""
    return f"{uri}/{path}" if "://" in uri else (Path(uri).resolve() / path).as_uri()


def path_of(uri: str, path: str) -> str:
    """The same to be read or copied by a person."""
    return f"{uri}/{path}" if "://" in uri else str(Path(uri).resolve() / path)


def _headline(summary: RunSummary) -> str:
    if not summary.families:
        return f"Recipe **{summary.recipe}**, seed {summary.seed}. No held-out evaluation: it is off in this recipe."
    gain = 100 * (summary.mean_after - summary.mean_base)
    return (
        f"Recipe **{summary.recipe}**, seed {summary.seed}. Held-out accuracy, mean over {len(summary.families)} "
        f"benchmarks: **{summary.mean_base:.1%} → {summary.mean_after:.1%}** ({gain:+.1f} points)."
    )


def _table(summary: RunSummary) -> str:
    has_kinds = any(score.kind for score in summary.families.values())
    kind = ["kind"] if has_kinds else []
    lines = [_cells(["benchmark", *kind, "before", "after", "95 % interval", "change"])]
    lines.append(_cells(["---", *("---" for _ in kind), "---:", "---:", "---:", "---:"]))
    for name, score in summary.families.items():
        change = f"{100 * (score.after - score.base):+.1f}"
        interval = f"{score.low:.1%} to {score.high:.1%}"
        kinds = [score.kind] if has_kinds else []
        lines.append(_cells([name, *kinds, f"{score.base:.1%}", f"**{score.after:.1%}**", interval, change]))
    return "\n".join(lines) + f"\n\n{summary.n} held-out questions each; changes in points."


def _course(reports: Sequence[Mapping[str, Any]]) -> str:
    accuracies = [float(report["accuracy"]) for report in reports]
    unsolved = [float(report["unsolved"]) / max(1, report["questions"]) for report in reports]
    return "\n".join(
        [
            "## While it trained",
            "",
            _cells(["", "first", "", "last"]),
            _cells(["---", "---:", "---", "---:"]),
            _cells(["rollouts correct", f"{accuracies[0]:.1%}", f"`{_bars(accuracies)}`", f"{accuracies[-1]:.1%}"]),
            _cells(["questions hardest", f"{unsolved[0]:.1%}", f"`{_bars(unsolved)}`", f"{unsolved[-1]:.1%}"]),
        ]
    )


def _spent(summary: RunSummary) -> str:
    return "\n".join(
        [
            "## What it took",
            "",
            f"- {summary.iterations:,} iterations, {summary.used}",
            f"- {summary.rollouts:,} rollouts, {summary.optimizer_steps:,} optimizer steps, {summary.update_flops:.3g} "
            f"FLOPs of updates",
            f"- {summary.seconds:,.0f} s in the process that finished it, {summary.prefect_share:.1%} of them outside "
            f"the phases",
        ]
    )


def _artifacts(summary: RunSummary, uri: str) -> str:
    rows = {
        "report with all figures": "report/index.html",
        "trained model": "model",
        "hard examples (DuckDB)": "hard_examples.duckdb",
        "one line per iteration": "metrics.jsonl",
    }
    weights = f"| sha256 of the weights | `{summary.weights_sha256[:SHA_CHARACTERS]}…` |"
    return f"{_table_of_paths(rows, uri)}\n{weights}"


def _table_of_paths(rows: Mapping[str, str], uri: str) -> str:
    listed = [f"| {what} | `{path_of(uri, path)}` |" for what, path in rows.items()]
    return "\n".join(["## Where it lies", "", "| what | where |", "|---|---|", *listed])


def _questions_to_ask(uri: str) -> str:
    store = path_of(str(uri).rpartition("/")[0], "").rstrip("/")
    option = f" --store '{store}'"
    return "\n".join(
        [
            "## Ask the ledger",
            "",
            "```sh",
            f"relift hard{option}",
            f"relift hard unsolved{option}",
            f'relift sql "SELECT state, count(*) FROM hard_examples GROUP BY ALL"{option}',
            "```",
        ]
    )


def _row(report: Mapping[str, Any]) -> Row:
    return {
        "iteration": report["iteration"],
        "accuracy": round(report["accuracy"], 4),
        "unsolved": report["unsolved"],
        "buffer": report["buffer"],
        "taught": report["taught"],
        "tokens": report["tokens"],
        "seconds": round(sum(report["seconds"].values()), 2),
    }


def _cells(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _bars(shares: Sequence[float]) -> str:
    """Shares in [0, 1] as a line of bars, neighbours averaged where there are many."""
    width = min(MOST_BARS, len(shares))
    means = []
    for i in range(width):
        part = shares[i * len(shares) // width : (i + 1) * len(shares) // width]
        means.append(sum(part) / len(part))
    return "".join(BARS[min(len(BARS) - 1, int(mean * len(BARS)))] for mean in means)
