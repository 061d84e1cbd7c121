"""`relift hard`: the named queries of the ledger, listed and run, for a terminal or for another program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid

from flows.terminal.printing import new_console, shown
from flows.terminal.tables import print_table
from relift.errors import LedgerError
from relift.store.snapshots import ledgers_folder

if TYPE_CHECKING:
    from relift.ledger import NamedQuery, Table

ROWS_OF_A_TABLE = 20
"""Where --limit says nothing; the other forms then hold all rows."""


def hard_command(store: str, name: str, *, run: str, since: int | None, limit: int | None, form: str, out: str) -> None:
    """Print or write the answer of a named query; without a name how the questions stand, and what can be asked.

    ``form`` is table, json, csv or parquet; empty: what the name of the file ``out`` ends with, else a table. Raises
    LedgerError for an unknown query or run, with the known ones, and for options that do not go together.
    """
    from relift.ledger import named_query
    from relift.ledger.results import Form, answer, write_answer

    query = named_query(name or "states")
    form = _form(form, out)
    folder = ledgers_folder(store)
    if form == "table":
        _print_answer(query, answer(folder, query, run=run, since=since, max_rows=limit or ROWS_OF_A_TABLE), bool(name))
        return
    target = Path(out) if out else sys.stdout
    write_answer(folder, query, Form(form), target, run=run, since=since, max_rows=limit)


def _form(form: str, out: str) -> str:
    known = ("table", "json", "csv", "parquet")
    found = form or Path(out).suffix.removeprefix(".") or "table"
    if found not in known:
        raise LedgerError(
            f"An answer cannot be written as {found!r}. Name the file .json, .csv or .parquet, or give --format one of "
            f"{', '.join(known)}."
        )
    if found == "table" and out:
        raise LedgerError(f"A table is for the terminal, not for {out}. Add --format json, csv or parquet.")
    if found == "parquet" and not out:
        raise LedgerError("Parquet goes to a file, not to the terminal. Add --out FILE.")
    return found


def _print_answer(query: NamedQuery, found: Table, is_asked_by_name: bool) -> None:
    console = new_console()
    console.print(shown(query.description, style="bold"))
    print_table(console, found)
    if is_asked_by_name:
        return
    console.print()
    _print_states(console, {str(row[found.columns.index("state")]) for row in found.rows})
    _print_queries(console)


def _print_states(console: Console, found: set[str]) -> None:
    from relift.ledger.states import STATES

    grid = Grid.grid(padding=(0, 2))
    for state, meaning in STATES.items():
        if state in found:
            grid.add_row(shown(state), shown(meaning, style="dim"))
    if found:
        console.print(grid)
        console.print()


def _print_queries(console: Console) -> None:
    from relift.ledger.queries import GROUPS, named_queries

    known = named_queries()
    console.print(shown("relift hard NAME answers one of these:"))
    for group in GROUPS:
        console.print(shown(group, style="bold"))
        _print_grid(console, [(query.name, query.description) for query in known if query.group == group])
    console.print(shown("more", style="bold"))
    _print_grid(
        console,
        [
            ("browse", "One HTML page to search all hard questions; --open shows it."),
            ("--run NAME", "One run, or several: 'demo-*'."),
            ("--since N", "From that iteration on."),
            ("--format F", "table, json, csv, or parquet with --out FILE."),
            ("relift show QUESTION", "One question through all phases; its id, or part of its text."),
            ('relift sql "SELECT ..."', "Anything else, over the same tables and views: docs/ledger.md."),
        ],
    )


def _print_grid(console: Console, rows: list[tuple[str, str]]) -> None:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=23)
    for name, description in rows:
        grid.add_row(shown(name, style="cyan"), shown(description, style="dim"))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))
