"""Answers of named queries: a few rows as a table, or all of them as CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import duckdb

from relift.errors import LedgerError
from relift.ledger import schema
from relift.ledger.parquet import IN_PLACE
from relift.ledger.project import Table, open_project
from relift.ledger.queries import NamedQuery, named_queries
from relift.ledger.sql import literal

ROWS_AT_ONCE = 10_000
MOST_NAMES = 20
"""Of runs, in a message."""


class Form(StrEnum):
    """What a file of rows is written as."""

    CSV = "csv"
    JSON = "json"
    """One array of objects, one object a line."""
    PARQUET = "parquet"


def answer(store: Path, query: NamedQuery, *, run: str = "", since: int | None = None, max_rows: int = 20) -> Table:
    """The first rows of a named query's answer, over all runs or those that match ``run``.

    Raises LedgerError where no run matches, with the names there are, and for a ``since`` that the query cannot use.
    """
    with _asking(store, query, run, since) as connection:
        cursor = connection.execute(query.limited(max_rows + 1))
        columns = tuple(column[0] for column in cursor.description)
        rows = tuple(cursor.fetchall())
    return Table(columns=columns, rows=rows[:max_rows], is_cut=len(rows) > max_rows)


def write_answer(
    store: Path,
    query: NamedQuery,
    form: Form,
    target: Path | TextIO,
    *,
    run: str = "",
    since: int | None = None,
    max_rows: int | None = None,
) -> None:
    """All rows, or the first ``max_rows``, into a file or (not Parquet) a stream.

    A file appears whole or not at all. Raises LedgerError as ``answer``, and for a file that cannot be written.
    """
    partial = target.with_name(target.name + ".partial").resolve() if isinstance(target, Path) else None
    with _asking(store, query, run, since, writes=[partial] if partial else []) as connection:
        sql = query.limited(max_rows)
        if not isinstance(target, Path) or partial is None:
            assert not isinstance(target, Path)
            assert form is not Form.PARQUET, "Parquet goes to a file: its end says where everything is"
            _TEXT_FORMS[form](connection.execute(sql), target)
            return
        try:
            if form is Form.PARQUET:
                connection.execute(f"COPY ({sql}\n) TO {literal(partial)} (FORMAT parquet, {IN_PLACE})")
            else:
                with partial.open("w", encoding="utf-8", newline="") as stream:
                    _TEXT_FORMS[form](connection.execute(sql), stream)
            partial.replace(target)
        except (OSError, duckdb.IOException) as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, duckdb.Error) and schema.is_damage(error):
                raise
            raise LedgerError(
                f"The answer could not be written to {target}: {str(error).splitlines()[0]}. Name a file in a folder "
                f"that is there and can be written."
            ) from error


@contextmanager
def _asking(
    store: Path, query: NamedQuery, run: str, since: int | None, writes: Sequence[Path] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the project on which the query's variables are set."""
    if since is not None and not query.takes_since:
        others = ", ".join(other.name for other in named_queries() if other.takes_since)
        raise LedgerError(
            f"The query {query.name!r} does not ask by iteration, so since={since} would change nothing. Leave it out, "
            f"or ask one of: {others}."
        )
    with open_project(store, writes=writes) as connection:
        if run:
            _require_runs(connection, run)
            connection.execute("SET VARIABLE run = $1", [run])
        if since is not None:
            connection.execute("SET VARIABLE since = $1", [since])
        yield connection


def _require_runs(connection: duckdb.DuckDBPyConnection, pattern: str) -> None:
    names = [name for (name,) in connection.execute("SELECT DISTINCT run FROM runs ORDER BY run").fetchall()]
    matching = connection.execute("SELECT count(*) FROM runs WHERE run GLOB $1", [pattern]).fetchone()[0]
    if not matching:
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        raise LedgerError(
            f"No run is called {pattern!r}. There are: {', '.join(names[:MOST_NAMES])}{more}. Give one of these, or a "
            f"pattern such as 'demo-*' in quotes."
        )


def _write_csv(cursor: Any, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column[0] for column in cursor.description])
    for rows in _batches(cursor):
        writer.writerows(rows)


def _write_json(cursor: Any, stream: TextIO) -> None:
    names = [column[0] for column in cursor.description]
    is_first = True
    stream.write("[")
    for rows in _batches(cursor):
        for row in rows:
            values = dict(zip(names, map(_json_value, row), strict=True))
            line = json.dumps(values, ensure_ascii=False, allow_nan=False, default=str)
            stream.write(f"\n{line}" if is_first else f",\n{line}")
            is_first = False
    stream.write("\n]\n")


_TEXT_FORMS: dict[Form, Callable[[Any, TextIO], None]] = {Form.CSV: _write_csv, Form.JSON: _write_json}


def _batches(cursor: Any) -> Iterator[Sequence[Sequence[Any]]]:
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield rows


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
