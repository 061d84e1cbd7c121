"""Whether a database holds a ledger's tables and nothing that runs when they are read or written.

Whoever makes a database decides what a name in it means: a view, a macro, a generated column, a default or a trigger
runs with the rights of who reads or writes it, and can say what stands in that reader's own files. relift writes none
of these but the views of schema.sql, which it never asks a file for, and so takes none from anybody else.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import duckdb

from relift.errors import LedgerError
from relift.ledger import schema

_RUNS = re.compile(r"\b(GENERATED|DEFAULT|CHECK|COLLATE)\b")
"""What relift's own tables have none of, in the SQL that DuckDB gives for a table."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
MARK = "relift_ledger"
"""Table of the one row that says which schema a file has."""


def require_plain(connection: duckdb.DuckDBPyConnection, path: Path, alias: str) -> None:
    """Raises LedgerError naming what is no plain table in the attached database; asks the catalog alone."""

    def names(what: str, source: str, condition: str = "true") -> list[str]:
        sql = f"SELECT {what} FROM {source}() WHERE database_name = ? AND {condition} ORDER BY ALL"
        return [name for (name,) in connection.execute(sql, [alias]).fetchall()]

    tables = {name.lower() for name in (*schema.TABLES, MARK)}
    for name in names("view_name", "duckdb_views", "NOT internal"):
        if name.lower() in tables:
            raise _strange(path, f"{name} is a view in it")
    for name in names("function_name", "duckdb_functions", "NOT internal"):
        raise _strange(path, f"it holds the macro {name}")
    for name in names("trigger_name", "duckdb_triggers"):
        raise _strange(path, f"it holds the trigger {name}")
    for name in names("type_name", "duckdb_types", "NOT internal"):
        raise _strange(path, f"it holds the type {name}")
    for sql in names("sql", "duckdb_tables", "NOT internal"):
        if found := _RUNS.search(_QUOTED.sub("", sql)):
            raise _strange(path, f"the table {_name_in(sql)} has a column that DuckDB computes ({found[0]})")


def require_columns(connection: duckdb.DuckDBPyConnection, path: Path, relations: dict[str, str]) -> None:
    """Raises LedgerError where what an attached ledger is read as (SQL names by table) has not today's columns."""
    for table, relation in relations.items():
        try:
            rows = connection.execute(f"DESCRIBE FROM {relation}").fetchall()
        except duckdb.CatalogException as error:
            raise incomplete(path, f"it has no table {table}") from error
        except duckdb.BinderException as error:
            raise incomplete(path, f"its table {table} lacks a column ({str(error).splitlines()[0]})") from error
        found, wanted = {(name, kind) for name, kind, *_ in rows}, set(_columns()[table])
        if odd := sorted(found ^ wanted):
            name, kind = odd[0]
            raise incomplete(path, f"its table {table} {'lacks' if odd[0] in wanted else 'has'} a column {name} {kind}")


@functools.cache
def _columns() -> dict[str, tuple[tuple[str, str], ...]]:
    """(name, type) of the columns of each of today's tables."""
    with schema.connect() as connection:
        connection.execute(schema.tables_sql())
        found: dict[str, tuple[tuple[str, str], ...]] = {}
        for table in schema.TABLES:
            described = connection.execute(f"DESCRIBE {table}").fetchall()
            found[table] = tuple((name, kind) for name, kind, *_ in described)
        return found


def _name_in(sql: str) -> str:
    return sql.removeprefix("CREATE TABLE ").partition("(")[0]


def _strange(path: Path, what: str) -> LedgerError:
    return LedgerError(
        f"{path} is no ledger that relift wrote: {what}. Such a thing runs when it is read and could show files of "
        f"this machine, so nothing of it was read. Ask whoever gave it to you for the file that their run published, "
        f"or for what `relift ledger export --format parquet` writes of it."
    )


def incomplete(path: Path, what: str) -> LedgerError:
    """What to say of a ledger without something that relift writes into each."""
    return LedgerError(
        f"{path} is no ledger that relift wrote: {what}. Nothing of it was read. Ask whoever gave it to you for the "
        f"file that their run published; that of a run is made again with `relift ledger rebuild RUN_FOLDER`."
    )
