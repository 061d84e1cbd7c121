"""`relift ledger attach | detach | export | import`: what they say on the terminal."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as Grid

from flows.terminal.printing import new_console, shown
from flows.terminal.text import cropped
from relift.store.snapshots import ledgers_folder
from relift.store.uris import is_bucket

if TYPE_CHECKING:
    from relift.exchange import ImportReport

MOST_REJECTED = 50
RUNS = "runs"
"""What --store is where nobody says otherwise."""


def attach_command(store: str, location: str, name: str) -> None:
    """Attach a location and say what it holds; without one list what is attached. Raises LedgerError or StoreError."""
    from relift.ledger import write_init_script
    from relift.ledger.attached import attach, locations, runs_of

    console = new_console()
    folder = ledgers_folder(store)
    if not location:
        attached = locations(folder)
        grid = Grid.grid(padding=(0, 2))
        for one in attached:
            grid.add_row(shown(one.name, style="bold"), shown(one.uri))
        console.print(grid if attached else shown(f"Nothing is attached to {store}."))
        return
    made, found = attach(folder, location, name)
    write_init_script(folder)
    runs = runs_of(found)
    listed = ", ".join(runs[:8]) + (f" and {len(runs) - 8} more" if len(runs) > 8 else "")
    console.print(shown(f"{location} is attached as {made.name}: {_counted(len(runs), 'run')}, {listed}"))


def detach_command(store: str, location: str) -> None:
    """Raises LedgerError with what is attached, where that is not."""
    from relift.ledger import write_init_script
    from relift.ledger.attached import detach

    folder = ledgers_folder(store)
    gone = detach(folder, location)
    write_init_script(folder)
    new_console().print(shown(f"{gone.uri} is no longer attached as {gone.name}; nothing of it was changed."))


def export_command(
    store: str, target: str, *, runs: Sequence[str], states: Sequence[str], form: str, with_gold: bool
) -> None:
    """Raises LedgerError for runs and states that are not there, and for a target that holds something else."""
    from relift.exchange import read_hard_set, write_folder, write_wanted

    console = new_console()
    folder = ledgers_folder(store)
    if form == "parquet":
        _export_tables(console, folder, target, runs, states)
        return
    if is_bucket(target):
        from relift.errors import LedgerError

        raise LedgerError(f"{target} is a bucket, and only --format parquet is written there. Give a local path.")
    hard = read_hard_set(folder, runs=runs, states=states)
    if form == "jsonl":
        count = write_wanted(hard, Path(target), with_gold=with_gold)
        where = "" if store == RUNS else f" --store {store}"
        then = f"relift ledger import {target}{where}"
        console.print(shown(f"{_counted(count, 'question')} to solve. Fill in `solution`, then: {then}"))
        return
    paths = write_folder(hard, Path(target))
    solved = sum(bool(question.solutions) for question in hard.questions)
    solutions = sum(len(question.solutions) for question in hard.questions)
    console.print(
        shown(
            f"{len(hard.questions):,} hard questions, {solved:,} of them with {solutions:,} verified solutions; "
            f"{len(hard.left_out):,} left out that overlap with {hard.held_out_count:,} held-out questions."
        )
    )
    for path in paths:
        console.print(shown(str(path)))


def import_command(store: str, path: str, *, runs: Sequence[str], skip_rejected: bool) -> None:
    """Raises LedgerError where nothing was taken, after a line for each rejected row."""
    from relift.exchange import import_solutions
    from relift.exchange.imports import require_taken

    console = new_console()
    report = import_solutions(path, store=store, folder=ledgers_folder(store), runs=runs, skip_rejected=skip_rejected)
    _print_rejected(console, report)
    require_taken(report)
    left = [
        f"{count:,} {what}"
        for count, what in (
            (report.left_empty, "left empty"),
            (report.repeated, "repeated"),
            (len(report.rejected), "rejected"),
        )
        if count
    ]
    rest = f" ({', '.join(left)})" if left else ""
    whom = ", ".join(runs) or "every run of the project"
    if report.was_there:
        console.print(shown(f"Imported before, as {report.name}{rest}; nothing was changed."))
        return
    console.print(shown(f"{_counted(report.taken, 'verified solution')} for {whom}, as {report.name}{rest}."))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _print_rejected(console: Console, report: ImportReport) -> None:
    grid = Grid.grid(padding=(0, 2))
    for one in report.rejected[:MOST_REJECTED]:
        grid.add_row(
            shown(cropped(one.where, 60)), shown(cropped(one.question_id, 20)), shown(cropped(one.reason, 200))
        )
    if report.rejected:
        console.print(grid)
    if len(report.rejected) > MOST_REJECTED:
        console.print(shown(f"... and {len(report.rejected) - MOST_REJECTED:,} more"))


def _export_tables(console: Console, folder: Path, target: str, runs: Sequence[str], states: Sequence[str]) -> None:
    from relift.errors import LedgerError
    from relift.exchange.tables import export_tables

    if states:
        raise LedgerError("--state would be ignored by --format parquet, which writes whole ledgers. Leave it out.")
    if not is_bucket(target):
        written = export_tables(folder, Path(target), runs)
    else:
        from relift.store.snapshots import upload_files

        with tempfile.TemporaryDirectory() as made:
            written = export_tables(folder, Path(made), runs)
            upload_files(target, written)
    size = len(written)
    console.print(shown(f"{size} tables in {target}; read them anywhere with: relift ledger attach {target}"))
