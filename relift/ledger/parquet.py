"""A whole ledger as Parquet, one file a table, and back: what any tool reads, and what a store keeps well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from relift.errors import LedgerError
from relift.ledger import migrate, schema
from relift.ledger.migrate import relation
from relift.ledger.sql import TABLES, connect, literal

MARKER = "runs.parquet"
"""Written last: where it is, all tables are."""
IN_PLACE = "USE_TMP_FILE false"
"""Of a COPY to a file that is no name of its own yet: a connection that reads ledgers reaches no other file."""


def table_files() -> list[str]:
    """In the order they are written."""
    return [f"{table}.parquet" for table in (*(t for t in TABLES if t != "runs"), "runs")]


def partial_of(folder: Path, name: str) -> Path:
    """Where a table is written before it is whole, which a connection from elsewhere has to let through."""
    return folder.resolve() / f"{name}.partial"


def write_ledger(connection: duckdb.DuckDBPyConnection, folder: Path, runs: list[str]) -> None:
    """The rows of those runs from a connection that knows the tables by name (``open_project``), sorted.

    The same ledgers give the same bytes. Raises LedgerError for a folder that holds something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = table_files()
    half = {f"{name}.partial" for name in names}  # of an export that was killed
    strange = sorted(path.name for path in folder.iterdir() if path.name not in half.union(names))
    if strange:
        raise LedgerError(f"{folder} holds {strange[0]}, which is no table of a ledger. Give an empty or a new folder.")
    (folder / MARKER).unlink(missing_ok=True)
    for name in names:
        table = name.removesuffix(".parquet")
        partial = partial_of(folder, name)
        listed = ", ".join(literal(run) for run in runs)
        connection.execute(
            f"COPY (SELECT * FROM {table} WHERE run IN ({listed}) ORDER BY ALL) "
            f"TO {literal(partial)} (FORMAT parquet, COMPRESSION zstd, {IN_PLACE}, "
            f"KV_METADATA {{relift_schema: '{schema.SCHEMA_VERSION}'}})"
        )
        partial.replace(folder / name)


def read_ledger(folder: Path, target: Path) -> None:
    """Make a ledger file from the tables in a folder, which may be of an earlier schema; whole or not at all.

    Raises LedgerError for a newer schema, a damaged file and a missing table.
    """
    making = target.with_name(target.name + ".making")
    schema.remove(making)
    schema.create(making)
    try:
        with connect(spill=making.with_name(making.name + ".spill")) as connection:
            version = _version(connection, folder)
            connection.execute("ATTACH ':memory:' AS before")
            for path in (folder / name for name in table_files() if (folder / name).exists()):
                connection.execute(f"CREATE VIEW before.{path.stem} AS FROM read_parquet({literal(path)})")
            connection.execute(migrate.views_sql("before", version))
            schema.attach(connection, making, "ledger", read_only=False)
            for table in TABLES:
                connection.execute(f"INSERT INTO ledger.{table} BY NAME FROM {relation('before', version, table)}")
    except duckdb.Error as problem:
        raise LedgerError(
            f"{folder} is no ledger as Parquet that could be read: {str(problem).splitlines()[0]} Export it again with "
            f"`relift ledger export --format parquet`."
        ) from problem
    making.replace(target)


def _version(connection: duckdb.DuckDBPyConnection, folder: Path) -> int:
    found: list[tuple[Any]] = connection.execute(
        f"SELECT decode(value) FROM parquet_kv_metadata({literal(folder / MARKER)}) WHERE decode(key) = 'relift_schema'"
    ).fetchall()
    version = int(found[0][0]) if found else 0
    if not 1 <= version <= schema.SCHEMA_VERSION:
        mend = "Upgrade relift" if version > schema.SCHEMA_VERSION else "Export it again with this relift"
        raise LedgerError(
            f"{folder} holds a ledger of schema {version or 'unknown'}, and this relift reads up to schema "
            f"{schema.SCHEMA_VERSION} from Parquet. {mend}, or attach the ledger file itself."
        )
    return version
