"""Rows into a table through Arrow, and the contents of tables as one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import duckdb

from relift.ledger.rows import Row

# Besides wall-clock: what a resume may change (the store's folder, the number of iterations, a newer code version), and
# what depends on what else the process did.
_NOT_DIGESTED = frozenset({"config_json", "code_version", "mfu", "peak_memory_bytes"})


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row], *, first_stays: bool) -> None:
    """Add rows whose keys are exactly the table's columns; with ``first_stays``, one whose key is there is passed over.

    The Arrow types are the table's own, so a column that happens to hold only None keeps its type.
    """
    import pyarrow as pa

    if not rows:
        return
    types = connection.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
    wrong = set(rows[0]) ^ set(types.names)
    assert not wrong, f"rows for {table} do not match schema.sql in {sorted(wrong)}"
    connection.register("incoming", pa.Table.from_pylist(list(rows), schema=types))
    try:
        conflict = "ON CONFLICT DO NOTHING" if first_stays else ""
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming {conflict}")
    finally:
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
