"""Ledger files: making one, opening one, and saying plainly why one cannot be opened.

A file is always attached to a connection in memory and never opened as its main database: only so can the storage
version be chosen when it is made, and with it a file that DuckDB 1.5 and 2.0 clients both open. It keeps that version.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from relift.errors import LedgerError, NewerLedgerError
from relift.ledger.sql import connect, literal, quoted, tables_sql, views_sql

LEDGER, SNAPSHOT = "ledger.duckdb", "hard_examples.duckdb"
"""Names of the two files of a run: what it writes, and what it publishes."""
SCHEMA_VERSION = 5
STORAGE_VERSION = "v1.5.0"
_SIGNS_OF_DAMAGE = (
    "Corrupt database file",
    "Could not read enough bytes",
    "Failed to load metadata pointer",
    "Failure while replaying WAL",
)

_CHECK_SECONDS = 0.1


def snapshots(store: Path) -> list[Path]:
    """The published ledgers of the runs in a folder, by name; a hidden folder is a run half made or half removed."""
    return sorted(path for path in store.glob(f"*/{SNAPSHOT}") if not path.parent.name.startswith("."))


@contextmanager
def reading(
    files: Mapping[str, Path], *, spill: Path | None = None, writes: Sequence[Path] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads ledgers of anybody, by alias, and reaches no file beside them but those of ``writes``.

    From before anything in them is asked: no file, no extension, and no setting that could undo it. Raises
    LedgerError as ``attach`` does.
    """
    with connect(spill) as connection:
        for alias, path in files.items():
            _open(connection, path, alias, "(TYPE duckdb, READ_ONLY)")
        listed = ", ".join(literal(path.resolve()) for path in writes)
        connection.execute(f"SET allowed_paths = [{listed}]")
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        _require_ledgers(connection, files)
        yield connection


def attach(connection: duckdb.DuckDBPyConnection, path: Path, alias: str, *, read_only: bool) -> None:
    """Make a ledger of this run visible under ``alias``; for one that others may have written there is ``reading``.

    Raises LedgerError for a file that is missing, held by another process, no ledger, or of a newer schema; nothing
    stays attached then, and the file is as it was.
    """
    _open(connection, path, alias, "(TYPE duckdb, READ_ONLY)" if read_only else "(TYPE duckdb)")
    try:
        _require_ledgers(connection, {alias: path})
    except LedgerError:
        connection.execute(f"DETACH {quoted(alias)}")
        raise


def _open(connection: duckdb.DuckDBPyConnection, path: Path, alias: str, options: str) -> None:
    """Only the catalog is read by this, and nothing in it is run."""
    try:
        connection.execute(f"ATTACH {literal(path)} AS {quoted(alias)} {options}")
    except duckdb.Error as error:
        said = damaged(path, error) if is_damage(error) else _why_not_opened(path, str(error))
        raise LedgerError(said) from error


def _require_ledgers(connection: duckdb.DuckDBPyConnection, files: Mapping[str, Path]) -> None:
    from relift.ledger.plain import require_plain

    require_plain(connection, files)
    for alias, path in files.items():
        _check_version(connection, path, alias)


def create(path: Path) -> None:
    """An empty ledger at ``path``; it appears there whole or not at all, at whatever moment the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    remove(partial)
    with connect() as connection:
        connection.execute(f"ATTACH {literal(partial)} AS ledger (STORAGE_VERSION {literal(STORAGE_VERSION)})")
        connection.execute("USE ledger")
        connection.execute(tables_sql())
        connection.execute(views_sql())
        connection.execute("USE memory")
        connection.execute("DETACH ledger")
    partial.replace(path)


def copy(source: Path, path: Path, *, with_log: bool = False) -> None:
    """The ledger in ``source`` again at ``path``, whole or not at all; ``with_log`` what a crash left beside it too."""
    partial, log = path.with_name(path.name + ".partial"), source.with_name(source.name + ".wal")
    remove(partial)
    remove(path)  # a log without its file belongs to nothing
    if with_log and log.is_file():
        shutil.copyfile(log, path.with_name(path.name + ".wal"))
    shutil.copyfile(source, partial)
    partial.replace(path)


def copy_database(
    connection: duckdb.DuckDBPyConnection, source: str, path: Path, check: Callable[[], None] = lambda: None
) -> None:
    """An attached ledger, as it is at one moment, as the one file ``path``.

    ``check`` is called now and then from another thread; the error that it raises ends the copying, and is raised.
    """
    connection.execute(f"ATTACH {literal(path)} AS copied (STORAGE_VERSION {literal(STORAGE_VERSION)})")
    try:
        with _interrupted_by(check, connection):
            connection.execute(f"COPY FROM DATABASE {quoted(source)} TO copied")
    finally:
        connection.execute("DETACH copied")  # writes its log into the file: one file holds it all


@contextmanager
def _interrupted_by(check: Callable[[], None], connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A query in here ends with the error that ``check`` raises."""
    is_over = threading.Event()
    raised: list[BaseException] = []

    def watch() -> None:
        while not is_over.wait(_CHECK_SECONDS):
            try:
                check()
            except BaseException as problem:
                raised.append(problem)
                connection.interrupt()  # again and again: before the query begins it says nothing to it

    watcher = threading.Thread(target=watch, name="check", daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.InterruptException as error:
        if raised:
            raise raised[0] from error
        raise
    finally:
        is_over.set()
        watcher.join()


def remove(path: Path) -> None:
    """Delete a database file and its write-ahead log, if they are there."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)


def version_of(connection: duckdb.DuckDBPyConnection, alias: str) -> int:
    """Schema of an attached ledger."""
    rows = connection.execute(f"SELECT schema_version FROM {quoted(alias)}.relift_ledger").fetchall()
    return max((version for (version,) in rows if isinstance(version, int)), default=0)


def _check_version(connection: duckdb.DuckDBPyConnection, path: Path, alias: str) -> None:
    try:
        version = version_of(connection, alias)
    except duckdb.CatalogException as error:
        raise LedgerError(
            f"{path} is a DuckDB database but no relift ledger: it has no table relift_ledger. It was left untouched. "
            f"Give the path of a run's ledger, or move the file away so that the run can write its own."
        ) from error
    except duckdb.Error as error:
        raise LedgerError(damaged(path, error)) from error
    if version > SCHEMA_VERSION:
        raise NewerLedgerError(
            f"{path} has ledger schema {version}, and this relift knows schemas up to {SCHEMA_VERSION}. It was left "
            f"untouched. Open it with the relift that wrote it or a later one."
        )
    if version < 1:
        raise LedgerError(
            f"{path} does not say which ledger schema it has, so it was left unread: no run of relift wrote it whole. "
            f"Give another, or make that of a run again with `relift ledger rebuild RUN_FOLDER`."
        )


def is_damage(error: duckdb.Error) -> bool:
    """Whether DuckDB found that a file is not what was once written there."""
    return any(sign in str(error) for sign in _SIGNS_OF_DAMAGE)


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """LedgerError for a query that meets damage: most blocks are first read, and their checksums compared, by one."""
    try:
        yield
    except duckdb.Error as error:
        if is_damage(error):
            raise LedgerError(damaged(path, error)) from error
        raise


@contextmanager
def failed_writing_told(path: Path) -> Iterator[None]:
    """LedgerError for damage and for a disk that is full, which shows as any of three errors, by when it was noticed:
    writing, committing, or since then."""
    try:
        with damage_reported(path):
            yield
    except (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException) as error:
        raise LedgerError(
            f"The ledger {path} could not be written: {str(error).splitlines()[0]} What was recorded before is kept. "
            f"Make sure that the disk has space and the folder can be written, then run the command again."
        ) from error


def damaged(path: Path, why: duckdb.Error | str) -> str:
    """What to say of a ledger file (or of the folder that holds it) that is cut short or changed."""
    run = path.parent if path.name == LEDGER else "RUN_FOLDER"
    return (
        f"{path} holds a damaged ledger ({str(why).splitlines()[0]}): a file was cut short or changed. It was left "
        f"untouched. A snapshot hard_examples.duckdb is written again when its run publishes next. A run's ledger is "
        f"made again with `relift ledger rebuild {run}`, from the phases that the run recorded and from what its "
        f"snapshot still holds; `relift ledger check` says which file it is."
    )


def _why_not_opened(path: Path, message: str) -> str:
    if "Could not set lock" in message:
        pid = re.search(r"\(PID (\d+)\)", message)
        holder = f"process {pid.group(1)}" if pid else "another process"
        return (
            f"{path} is held by {holder}, and a ledger has one writer at a time. End that process, or read the "
            f"snapshot hard_examples.duckdb of the run instead: it never blocks."
        )
    if "already attached" in message:
        return f"{path} is already open in this process, and a ledger has one writer at a time. Close it first."
    if "not a valid DuckDB database file" in message:
        return (
            f"{path} is no DuckDB database, so it is no ledger. It was left untouched. Move it away or give another; "
            f"that of a run is made again with `relift ledger rebuild RUN_FOLDER`."
        )
    if "does not exist" in message:
        return f"{path} does not exist. A run publishes its ledger there when it records its first iteration."
    return f"{path} could not be opened as a ledger: {message.splitlines()[0]}"
