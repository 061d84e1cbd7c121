"""Rows into a table through Arrow, and the contents of tables as one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import duckdb

from relift.ledger.rows import Columns

# Besides wall-clock: what a resume may change (the store's folder, the number of iterations, a newer code version), and
# what depends on what else the process did.
_NOT_DIGESTED = frozenset({"config_json", "code_version", "mfu", "peak_memory_bytes"})


def arrow_types(connection: duckdb.DuckDBPyConnection, table: str) -> Any:
    """The Arrow schema of a table."""
    return connection.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema


def insert(
    connection: duckdb.DuckDBPyConnection, table: str, run: str, columns: Columns, types: Any, *, first_stays: bool
) -> None:
    """Add rows of a run, whose columns are exactly the table's others; with ``first_stays``, one whose key is there is
    passed over.

    ``types`` are the table's own (``arrow_types``), so a column that happens to hold only None keeps its type.
    """
    import pyarrow as pa

    wrong = {*columns, "run"} ^ set(types.names)
    assert not wrong, f"rows for {table} do not match schema.sql in {sorted(wrong)}"
    arrays = {name: pa.array(values, type=types.field(name).type) for name, values in columns.items()}
    connection.register("incoming", pa.table(arrays))
    try:
        conflict = "ON CONFLICT DO NOTHING" if first_stays else ""
        connection.execute(f"INSERT INTO {table} BY NAME SELECT ? AS run, * FROM incoming {conflict}", [run])
    finally:
        with suppress(duckdb.Error):  # in a transaction that failed, which must not hide why
            connection.unregister("incoming")


def digest(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> str:
    """SHA-256 over the sorted rows of the tables, less wall-clock columns and what a resume may change."""
    whole = hashlib.sha256()
    for table in tables:
        columns = ", ".join(name for name in column_names(connection, table) if _is_digested(name))
        rows = connection.execute(f"SELECT sha256(CAST(ROW({columns}) AS VARCHAR)) AS row_hash FROM {table} ORDER BY 1")
        whole.update(table.encode())
        while batch := rows.fetchmany(10_000):
            whole.update("".join(row_hash for (row_hash,) in batch).encode())
    return whole.hexdigest()


def column_names(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [name for name, *_ in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]


def _is_digested(column: str) -> bool:
    is_wall_clock = column == "seconds" or column.endswith(("_seconds", "_at"))
    return not is_wall_clock and column not in _NOT_DIGESTED
