"""All runs of a project as one schema: the published snapshots, attached read-only, their tables united.

``store`` is the folder that holds the runs (``runs/`` by default); a run's snapshot lies at
``<store>/<run>/hard_examples.duckdb``. Reading never waits for a writer, nor a writer for reading.
"""

from __future__ import annotations

import logging
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from relift.errors import LedgerError
from relift.ledger import attached, migrate, schema
from relift.ledger.attached import Source
from relift.ledger.schema import SNAPSHOT, snapshots
from relift.ledger.sql import TABLES, literal, quoted, views_sql

logger = logging.getLogger(__name__)
INIT_SCRIPT = "hard_examples.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a query found, e.g. columns ``("run", "state")``, rows ``(("demo-0", "open"),)``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool = False
    """Whether there were more rows than asked for."""


def require_snapshots(store: Path) -> list[Path]:
    """The published ledgers of the runs in that folder, by name. Raises LedgerError where there is none."""
    found = snapshots(store)
    if not found:
        raise LedgerError(
            f"No run in {store.resolve()} has published a ledger: there is no <run>/{SNAPSHOT}. "
            f"Run `relift train RECIPE` first, or name the folder that holds the runs."
        )
    return found


def sources(store: Path, *, refresh: bool = True) -> list[Source]:
    """The ledger files that are read as one: those of the folder's runs, then those of attached locations.

    ``refresh`` as ``attached_sources`` takes it. Raises LedgerError where an attached location cannot be read.
    """
    own = [Source(path=path, alias=_alias(path)) for path in snapshots(store)]
    return own + attached.attached_sources(store, refresh=refresh)


@contextmanager
def open_project(
    store: Path, *, own_alone: bool = False, writes: Sequence[Path] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in memory with the tables and views of all runs under their plain names, each run's file attached.

    Runs of attached locations are called ``<name>/<run>``; ``own_alone`` leaves them out. SQL reaches no other file but
    those of ``writes``. Raises LedgerError when there is no snapshot, one that is no ledger or of a newer schema, or
    when what is asked meets damage.
    """
    with _as_one(sources_to_read(store, own_alone=own_alone), store, writes) as connection:
        yield connection


def sources_to_read(store: Path, *, own_alone: bool = False) -> list[Source]:
    """As ``sources``; of the project's own runs alone if asked. Raises LedgerError where there is none."""
    found = [Source(path=path, alias=_alias(path)) for path in snapshots(store)] if own_alone else sources(store)
    if not found:
        require_snapshots(store)
    return found


@contextmanager
def open_file(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same of one ledger file, whatever its schema. Raises LedgerError as ``schema.reading``, and for damage."""
    with _as_one([Source(path=path, alias="run_here")], path) as connection:
        yield connection


@contextmanager
def _as_one(found: list[Source], path: Path, writes: Sequence[Path] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
    """``path`` is what a message about damage names."""
    files = {source.alias: source.path for source in found}
    with (
        tempfile.TemporaryDirectory() as spill,  # what sorts millions of rows, such as an export, does not fit memory
        _naming_locations(found),
        schema.damage_reported(path),
        schema.reading(files, spill=Path(spill), writes=writes) as connection,
    ):
        versions = [migrate.read_as_todays(connection, source.path, source.alias) for source in found]
        connection.execute(_union_sql(found, versions))
        yield connection


@contextmanager
def _naming_locations(found: list[Source]) -> Iterator[None]:
    """What is said of a file that was attached says too how to leave it out."""
    try:
        yield
    except LedgerError as problem:
        named = next((source.prefix[:-1] for source in found if source.prefix and str(source.path) in str(problem)), "")
        if not named:
            raise
        raise LedgerError(
            f"{problem} It is attached as {named!r}: leave it out with `relift ledger detach {named}`."
        ) from problem


def query(
    store: Path, sql: str, *, max_rows: int = 10_000, max_seconds: float = 60.0, own_alone: bool = False
) -> Table:
    """What one reading statement finds in all runs; stopped after ``max_seconds``. ``own_alone`` as ``open_project``.

    For SQL of our own: what a user gives is asked by ``asking.ask``. Raises LedgerError for SQL that writes, that fails
    or that takes too long.
    """
    found = sources_to_read(store, own_alone=own_alone)
    return answer_from(found, store, sql, max_rows=max_rows, max_seconds=max_seconds)


def answer_from(found: list[Source], store: Path, sql: str, *, max_rows: int, max_seconds: float) -> Table:
    """As ``query``, from ledger files that are known."""
    with _as_one(found, store) as connection:
        _refuse_writing(connection, sql)
        deadline = threading.Timer(max_seconds, connection.interrupt)
        deadline.daemon = True
        deadline.start()
        try:
            cursor = connection.execute(sql)
            columns = tuple(column[0] for column in cursor.description or ())
            rows = tuple(cursor.fetchmany(max_rows + 1))
        except duckdb.InterruptException as error:
            raise LedgerError(
                f"The query was stopped after {max_seconds:g} seconds. Ask for less (a WHERE on run or iteration), or "
                f"open the snapshots in a DuckDB client of your own: {store / INIT_SCRIPT}."
            ) from error
        except duckdb.Error as error:
            if schema.is_damage(error):
                raise
            raise LedgerError(f"The query failed: {error}") from error
        finally:
            deadline.cancel()
    return Table(columns=columns, rows=rows[:max_rows], is_cut=len(rows) > max_rows)


def write_init_script(store: Path) -> Path:
    """Write ``hard_examples.sql``, which gives any DuckDB client what ``open_project`` gives; its path.

    Paths in it are absolute, so that it works from everywhere; it is written anew when runs come or go.
    """
    found, versions = _readable(sources(store, refresh=False))
    attaching = "\n".join(
        f"ATTACH IF NOT EXISTS {literal(one.path.resolve())} AS {quoted(one.alias)} (READ_ONLY);" for one in found
    )
    script = (
        "-- All runs of the project as one schema, in any DuckDB client from 1.5 on:\n"
        f"--   duckdb -init {INIT_SCRIPT}\n"
        "-- Written by relift; written again when runs come or go.\n"
        f"{attaching}\n\n{_union_sql(found, versions) if found else ''}"
    )
    target = store / INIT_SCRIPT
    if not target.exists() or target.read_text(encoding="utf-8") != script:
        partial = target.with_name(target.name + ".partial")
        partial.write_text(script, encoding="utf-8")
        partial.replace(target)
    return target


def _alias(path: Path) -> str:
    """``run_<name>``: never one of DuckDB's own names, such as memory or temp."""
    return f"run_{path.parent.name}"


def _readable(found: list[Source]) -> tuple[list[Source], list[int]]:
    """The files that can be opened, with their schemas; what cannot be is left out and said."""
    readable, versions = [], []
    for source in found:
        try:
            with schema.reading({source.alias: source.path}) as connection:
                versions.append(migrate.read_as_todays(connection, source.path, source.alias))
        except LedgerError as problem:
            logger.warning("left out of %s: %s", INIT_SCRIPT, problem)
            continue
        readable.append(source)
    return readable, versions


def _union_sql(found: list[Source], versions: list[int]) -> str:
    """Temporary views, so that a client's own database is never written to; a file of an earlier schema is read as one
    of today's through views of its own."""
    known = list(zip(found, versions, strict=True))
    upgrades = "".join(migrate.views_sql(source.alias, version) for source, version in known)
    tables = "\n".join(
        f"CREATE OR REPLACE TEMP VIEW {table} AS\n"
        + "\nUNION ALL BY NAME\n".join(_rows_sql(source, version, table) for source, version in known)
        + ";"
        for table in TABLES
    )
    return upgrades + tables + "\n" + views_sql().replace("CREATE VIEW", "CREATE OR REPLACE TEMP VIEW")


def _rows_sql(source: Source, version: int, table: str) -> str:
    rows = f"FROM {migrate.relation(source.alias, version, table)}"
    if not source.prefix:
        return rows
    columns = ("run", "parent_run") if table == "runs" else ("run",)
    renamed = ", ".join(f"{literal(source.prefix)} || {column} AS {column}" for column in columns)
    return f"SELECT * REPLACE ({renamed}) {rows}"


def _refuse_writing(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Say plainly what DuckDB would refuse anyway: the snapshots are read-only, and no other file can be reached."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise LedgerError(f"The query could not be read: {error}") from error
    if len(statements) != 1:
        raise LedgerError(f"One statement at a time can be asked, and this holds {len(statements)}: {sql.strip()!r}")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        explained = re.sub(r"^\s*explain\s+(analyze\s+)?(\([^)]*\)\s*)?", "", sql, count=1, flags=re.IGNORECASE)
        if explained != sql:
            _refuse_writing(connection, explained)
            return
    # MULTI is a PIVOT: one statement that finds its columns, and one that selects.
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):
        raise LedgerError(
            f"Only reading is possible here, and the query is of kind {kind.name}: a ledger is written by its run "
            f"alone. Nothing was changed. Ask with SELECT, or copy a snapshot ({SNAPSHOT}) and work on the copy."
        )
