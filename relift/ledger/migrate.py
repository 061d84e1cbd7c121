"""Ledgers of earlier schemas, read and written as ones of this schema.

``migrations/<version>.sql`` says what is new in a schema, as views ``new.<table>`` over ``old.<table>`` of the schema
before; a table that it does not name stays as it was. Put one upon the other, they show a file of any earlier schema as
one of today's, and the file itself is never touched: a reader asks the views, and a writer has a new file filled from
them, which takes the old one's place when it is whole. The next schema needs its ``<version>.sql``, and today's
schema.sql kept as tests/ledger/schemas/<today>.sql for the tests.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import duckdb

from relift.errors import LedgerError
from relift.ledger import schema
from relift.ledger.plain import incomplete, require_columns
from relift.ledger.sql import TABLES, connect, literal, quoted

logger = logging.getLogger(__name__)
_FOLDER = Path(__file__).with_name("migrations")
_RELATION = re.compile(r"\b(old|new)\.(\w+)")
_CREATED = re.compile(r"CREATE VIEW new\.(\w+)")


def migration_sql(version: int) -> str:
    """The file that leads to a schema."""
    return (_FOLDER / f"{version}.sql").read_text(encoding="utf-8")


def relation(alias: str, version: int, table: str) -> str:
    """The SQL name under which a table of an attached ledger is read as today's, when ``views_sql`` was executed."""
    return _as_of(alias, version, schema.SCHEMA_VERSION, table)


def views_sql(alias: str, version: int) -> str:
    """SQL for temporary views that show an attached ledger of ``version`` as one of today's; empty for one of today."""
    return "\n".join(_upward_sql(alias, version, made_by) for made_by in range(version + 1, schema.SCHEMA_VERSION + 1))


def read_as_todays(connection: duckdb.DuckDBPyConnection, path: Path, alias: str) -> int:
    """The schema of an attached ledger, whose tables ``relation`` reads as today's from here on.

    Raises LedgerError where they have not the columns that relift writes.
    """
    version = schema.version_of(connection, alias)
    try:
        connection.execute(views_sql(alias, version))
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise incomplete(path, f"a table or a column is missing in it ({str(error).splitlines()[0]})") from error
    require_columns(connection, path, {table: relation(alias, version, table) for table in TABLES})
    return version


def attached_as_todays(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection to write the file with, under the name ``ledger``; one of an earlier schema is migrated first."""
    connection = _attached(path)
    if schema.version_of(connection, "ledger") < schema.SCHEMA_VERSION:
        connection.close()
        migrate(path)
        connection = _attached(path)
    return connection


def _attached(path: Path) -> duckdb.DuckDBPyConnection:
    connection = connect(spill=path.with_name(path.name + ".spill"))
    try:
        schema.attach(connection, path, "ledger", read_only=False)
    except LedgerError:
        connection.close()
        raise
    return connection


def migrate(path: Path) -> bool:
    """Make the ledger at ``path`` one of today's schema; False when it is one already.

    Until the new file is whole the old one is what lies at ``path``, at whatever moment the process dies. Raises
    LedgerError as ``schema.attach`` does, and when the new file cannot be written; the old one is then untouched.
    """
    partial = path.with_name(path.name + ".migrated")
    schema.remove(partial)
    with connect(spill=path.with_name(path.name + ".spill")) as connection:
        # For writing: a log that a crash left is folded in, and nobody else writes while it is copied.
        schema.attach(connection, path, "before", read_only=False)
        version = schema.version_of(connection, "before")
        if version == schema.SCHEMA_VERSION:
            return False
        try:
            schema.create(partial)
            _fill(connection, partial, version)
        except (duckdb.Error, OSError) as problem:
            schema.remove(partial)
            if isinstance(problem, duckdb.Error) and schema.is_damage(problem):
                raise LedgerError(schema.damaged(path, problem)) from problem
            raise LedgerError(
                f"{path} has ledger schema {version} and could not be made one of schema {schema.SCHEMA_VERSION}: "
                f"{str(problem).splitlines()[0]} It was left untouched. Make sure that the disk has room for a second "
                f"copy of it and the folder can be written, then run the command again."
            ) from problem
        connection.execute("DETACH before")  # before its log could be taken for the new file's
        partial.replace(path)
    logger.info("%s was written with ledger schema %d and has schema %d now", path, version, schema.SCHEMA_VERSION)
    return True


def _fill(connection: duckdb.DuckDBPyConnection, path: Path, version: int) -> None:
    connection.execute(views_sql("before", version))
    connection.execute(f"ATTACH {literal(path)} AS after")
    for table in TABLES:
        connection.execute(f"INSERT INTO after.{table} BY NAME FROM {relation('before', version, table)}")
    connection.execute("DETACH after")
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _upward_sql(alias: str, version: int, made_by: int) -> str:
    """One migration's views, over what the ones below it made."""

    def name(found: re.Match[str]) -> str:
        which, table = found.groups()
        return _view(alias, made_by, table) if which == "new" else _as_of(alias, version, made_by - 1, table)

    sql = _RELATION.sub(name, _without_comments(migration_sql(made_by)))
    return sql.replace("CREATE VIEW", "CREATE OR REPLACE TEMP VIEW")


def _as_of(alias: str, version: int, latest: int, table: str) -> str:
    """The table as the newest migration up to ``latest`` made it, or as it lies in the file."""
    for made_by in range(latest, version, -1):
        if table in _CREATED.findall(migration_sql(made_by)):
            return _view(alias, made_by, table)
    return f"{quoted(alias)}.{table}"


def _view(alias: str, made_by: int, table: str) -> str:
    return quoted(f"{alias} {table} of schema {made_by}")


def _without_comments(sql: str) -> str:
    return re.sub(r"^\s*--.*\n", "", sql, flags=re.MULTILINE)
