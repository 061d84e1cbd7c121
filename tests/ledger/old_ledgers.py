"""Files as earlier schemas wrote them, filled with what a ledger of today holds."""

from __future__ import annotations

from pathlib import Path

import duckdb

from relift.ledger import schema

SCHEMAS = Path(__file__).with_name("schemas")
EARLIER = ("1_first", "1", "2", "3", "4")
"""Files of ``schemas/``: the number was raised late once, so that schema 1 has two forms."""


def write_as(earlier: str, today: Path, path: Path) -> Path:
    """The ledger at ``today`` in an earlier schema at ``path``, as far as that could say it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{today}' AS today (READ_ONLY)")
        connection.execute(f"ATTACH '{path}' AS earlier (STORAGE_VERSION '{schema.STORAGE_VERSION}'); USE earlier")
        connection.execute((SCHEMAS / f"{earlier}.sql").read_text())
        tables = (
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'earlier' AND table_name <> 'relift_ledger'"
        )
        for (table,) in connection.execute(tables).fetchall():
            names = [name for name, *_ in connection.execute(f"FROM earlier.{table} LIMIT 0").description]
            known = {name for name, *_ in connection.execute(f"FROM today.{table} LIMIT 0").description}
            columns = ", ".join(name for name in names if name in known)
            only = "WHERE purpose = 'train'" if table == "groups" and "purpose" not in names else ""
            connection.execute(f"INSERT INTO earlier.{table} BY NAME SELECT {columns} FROM today.{table} {only}")
    return path
