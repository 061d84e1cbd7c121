"""Whether a database holds a ledger's tables and nothing that runs when they are read or written.

Whoever makes a database decides what a name in it means: a view, a macro, a generated column, a default or a trigger
runs with the rights of who reads or writes it, and can say what stands in that reader's own files. relift writes none
of these but the views of schema.sql, which it never asks a file for, and so takes none from anybody else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import duckdb

from relift.errors import LedgerError
from relift.ledger.sql import TABLES, connect, tables_sql

_RUNS = re.compile(r"\b(GENERATED|DEFAULT|CHECK|COLLATE)\b")
"""What relift's own tables have none of, in the SQL that DuckDB gives for a table."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
MARK = "relift_ledger"
"""Table of the one row that says which schema a file has."""


def require_plain(connection: duckdb.DuckDBPyConnection, files: Mapping[str, Path]) -> None:
    """Raises LedgerError naming what is no plain table in one of the attached databases, by alias.

    Asks the catalog alone, and of all of them at once: going through what DuckDB itself defines is what takes time.
    """

    def found(what: str, source: str, condition: str = "NOT internal") -> list[tuple[Path, str]]:
        sql = f"SELECT database_name, {what} FROM {source}() WHERE list_contains(?, database_name) AND {condition}"
        return [
            (files[alias], name) for alias, name in connection.execute(f"{sql} ORDER BY ALL", [list(files)]).fetchall()
        ]

    tables = {name.lower() for name in (*TABLES, MARK)}
    for path, name in found("view_name", "duckdb_views"):
        if name.lower() in tables:
            raise _strange(path, f"{name} is a view in it")
    for path, name in found("function_name", "duckdb_functions"):
        raise _strange(path, f"it holds the macro {name}")
    for path, name in found("trigger_name", "duckdb_triggers", "true"):
        raise _strange(path, f"it holds the trigger {name}")
    for path, name in found("type_name", "duckdb_types"):
        raise _strange(path, f"it holds the type {name}")
    for path, sql in found("sql", "duckdb_tables"):
        if runs := _RUNS.search(_QUOTED.sub("", sql)):
            raise _strange(path, f"the table {_name_in(sql)} has a column that DuckDB computes ({runs[0]})")


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
    with connect() as connection:
        connection.execute(tables_sql())
        found: dict[str, tuple[tuple[str, str], ...]] = {}
        for table in TABLES:
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
