"""Ledger files: making one, opening one, and saying plainly why one cannot be opened.

A file is always attached to a connection in memory and never opened as its main database: only so can the storage
version be chosen when it is made, and with it a file that DuckDB 1.5 and 2.0 clients both open. It keeps that version.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb

from relift.errors import LedgerError

SCHEMA_VERSION = 2
STORAGE_VERSION = "v1.5.0"
TABLES = (
    "runs",
    "questions",
    "groups",
    "attempts",
    "demonstrations",
    "teacher_requests",
    "updates",
    "uses",
    "evaluations",
    "iterations",
    "ingested",
)
"""What holds rows, in the order of schema.sql; ``relift_ledger`` only says what the file is."""

_VIEWS_MARK = "\n-- VIEWS\n"


def tables_sql() -> str:
    return _schema_sql().partition(_VIEWS_MARK)[0]


def views_sql() -> str:
    """Works over anything that has the tables' names: a ledger, or the union of several."""
    return _schema_sql().partition(_VIEWS_MARK)[2]


def _schema_sql() -> str:
    return Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | Path) -> str:
    """An SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def connect(spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A connection in memory with modest limits, beside training; spills to that folder, or not at all."""
    return duckdb.connect(
        ":memory:",
        config={"threads": 2, "memory_limit": "1GB", "temp_directory": str(spill) if spill is not None else ""},
    )


def attach(connection: duckdb.DuckDBPyConnection, path: Path, alias: str, *, read_only: bool) -> None:
    """Make a ledger visible under ``alias``.

    Raises LedgerError for a file that is missing, held by another process, no ledger, or of a newer schema; nothing
    stays attached then, and the file is as it was.
    """
    option = "(READ_ONLY)" if read_only else ""
    try:
        connection.execute(f"ATTACH {literal(path)} AS {quoted(alias)} {option}")
    except duckdb.Error as error:
        raise LedgerError(_why_not_opened(path, str(error))) from error
    try:
        _check_version(connection, path, alias)
    except LedgerError:
        connection.execute(f"DETACH {quoted(alias)}")
        raise


def create(path: Path) -> None:
    """An empty ledger at ``path``; it appears there whole or not at all, at whatever moment the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    remove(partial)
    with connect() as connection:
        connection.execute(f"ATTACH {literal(partial)} AS ledger (STORAGE_VERSION {literal(STORAGE_VERSION)})")
        connection.execute("USE ledger")
        connection.execute(tables_sql())
        connection.execute(views_sql())
        connection.execute("USE memory")
        connection.execute("DETACH ledger")
    partial.replace(path)


def copy(source: Path, path: Path) -> None:
    """The ledger in ``source`` again at ``path``, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    remove(partial)
    remove(path)  # a log without its file belongs to nothing
    shutil.copyfile(source, partial)
    partial.replace(path)


def remove(path: Path) -> None:
    """Delete a database file and its write-ahead log, if they are there."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)


def _check_version(connection: duckdb.DuckDBPyConnection, path: Path, alias: str) -> None:
    try:
        rows = connection.execute(f"SELECT schema_version FROM {quoted(alias)}.relift_ledger").fetchall()
    except duckdb.CatalogException as error:
        raise LedgerError(
            f"{path} is a DuckDB database but no relift ledger: it has no table relift_ledger. It was left untouched. "
            f"Give the path of a run's ledger, or move the file away so that the run can write its own."
        ) from error
    version = max((row[0] for row in rows), default=0)
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path} has ledger schema {version}, and this relift knows schemas up to {SCHEMA_VERSION}. It was left "
            f"untouched. Open it with the relift that wrote it or a later one."
        )


def _why_not_opened(path: Path, message: str) -> str:
    if "Could not set lock" in message:
        pid = re.search(r"\(PID (\d+)\)", message)
        holder = f"process {pid.group(1)}" if pid else "another process"
        return (
            f"{path} is held by {holder}, and a ledger has one writer at a time. End that process, or read the "
            f"snapshot hard_examples.duckdb of the run instead: it never blocks."
        )
    if "already attached" in message:
        return f"{path} is already open in this process, and a ledger has one writer at a time. Close it first."
    if "not a valid DuckDB database file" in message:
        return f"{path} is no DuckDB database, so it is no ledger. It was left untouched. Move it away or give another."
    if "does not exist" in message:
        return f"{path} does not exist. A run publishes its ledger there when it records its first iteration."
    return f"{path} could not be opened as a ledger: {message.splitlines()[0]}"
