"""The SQL of schema.sql, names and texts within SQL, and connections with modest limits."""

from __future__ import annotations

from pathlib import Path

import duckdb

TABLES = (
    "runs",
    "questions",
    "groups",
    "attempts",
    "reward_parts",
    "reward_failures",
    "demonstrations",
    "teacher_requests",
    "updates",
    "uses",
    "entries",
    "leavings",
    "evaluations",
    "iterations",
    "ingested",
)
"""What holds rows, in the order of schema.sql; ``relift_ledger`` only says what the file is."""

MEMORY = "1GB"
"""Of a connection, for what DuckDB itself keeps count of."""

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
    """A connection in memory with modest limits, beside training; spills to that folder, or not at all.

    It loads no extension that a file asks for, and sees no variable of this program.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 2,
            "memory_limit": MEMORY,
            "temp_directory": str(spill) if spill is not None else "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    # After two seconds it would go to standard output, between the rows of an answer.
    connection.execute("SET enable_progress_bar = false")
    return connection
