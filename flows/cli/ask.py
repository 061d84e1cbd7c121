"""The commands that read or make something small: the ledger, a question's history, a run's report, the base model.

What a model or a dataset wrote is printed as it is, never as markup of the terminal.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table as Grid

from flows.terminal.printing import new_console, shown
from flows.terminal.question_history import history_lines
from flows.terminal.tables import print_table
from relift.errors import ModelError, RunError

if TYPE_CHECKING:
    from relift.ledger import Table

MOST_ROWS = 1000


def print_query(store: Path, sql: str) -> None:
    """What a SELECT finds in the ledgers of all runs, within bounds of memory and time. Raises LedgerError."""
    from relift.ledger.asking import ask

    _print(new_console(), ask(store, sql, max_rows=MOST_ROWS))


def print_story(store: Path, question: str) -> None:
    """One question through all phases, run by run. Raises LedgerError with near matches where none or several fit."""
    from relift.ledger import question_history

    console = new_console()
    for line in history_lines(question_history(store, question)):
        console.print(line)


def redraw(run_folder: Path) -> None:
    """Draw the report of a finished run again. Raises RunError where there is no finished run."""
    if not (run_folder / "summary.json").is_file():
        raise RunError(
            f"{run_folder} holds no summary.json, so there is no finished run to draw. Give the folder of a run, such "
            f"as runs/demo-0, and finish it first with the command that started it."
        )
    from relift.report import write_report
    from relift.run.summary import read_summary

    try:
        summary = read_summary(run_folder)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise RunError(
            f"{run_folder / 'summary.json'} is no summary of this version of relift ({problem}): remove it and run the "
            f"command that started the run, which writes it again."
        ) from problem
    console = new_console()
    for path in write_report(run_folder, summary):
        console.print(shown(str(path)))


def build_base_model(folder: Path, seed: int, steps: int | None = None) -> None:
    """Train the embedded base anew and say what it can do. Raises ModelError where it could not be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ModelError(
            f"the base model cannot be written to {folder} ({problem.strerror}): give a folder that can be made."
        ) from problem
    # Read by torch when it is first loaded: more than one thread gives other weights for the same seed, and is slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from relift.arithmetic.build import STEPS, build_base

    console = new_console()
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=steps or STEPS)

        def advance(step: int, loss: float) -> None:
            progress.update(task, completed=step, description=f"loss {loss:.3f}")

        build_base(folder, seed=seed, steps=steps or STEPS, progress=advance)
    _print_rates(console, json.loads((folder / "ORIGIN.json").read_text()))
    console.print(shown(f"Written to {folder}"))


def _print(console: Console, table: Table) -> None:
    print_table(console, table)
    if table.is_cut:
        console.print(shown(f"The first {MOST_ROWS:,} are shown: add LIMIT and OFFSET, or ask for less.", style="dim"))


def _print_rates(console: Console, origin: dict[str, Any]) -> None:
    from relift.arithmetic import FAMILIES

    grid = Grid("family", "kind", "greedy", "sampled", title="held-out questions solved", title_justify="left")
    for name, rates in origin["held_out_percent_correct"].items():
        grid.add_row(name, FAMILIES[name].kind.value, f"{rates['greedy']:.1f} %", f"{rates['sampled']:.1f} %")
    console.print(grid)
