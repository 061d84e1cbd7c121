"""Whole ledgers out, as Parquet."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from relift.errors import LedgerError
from relift.ledger.parquet import partial_of, table_files, write_ledger
from relift.ledger.project import open_project


def export_tables(store: Path, folder: Path, runs: Sequence[str]) -> list[Path]:
    """Write the tables of the runs that the names or patterns fit, of all without any; their files, the marker last.

    Raises LedgerError for a run that is not there and a folder that holds something else.
    """
    with open_project(store, writes=[partial_of(folder, name) for name in table_files()]) as connection:
        there = [run for (run,) in connection.execute("SELECT run FROM runs ORDER BY run").fetchall()]
        fitting = {name: fnmatch.filter(there, name) for name in runs}
        missing = [name for name in runs if not fitting[name]]
        if missing:
            raise LedgerError(f"No ledger here holds a run {missing[0]!r}. There are: {', '.join(there) or 'none'}.")
        write_ledger(connection, folder, sorted({run for found in fitting.values() for run in found}) or there)
    return [folder / name for name in table_files()]
