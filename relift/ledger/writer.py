"""The one writer of a run's ledger.

Every writing method is one transaction under a batch key (``<run>/<iteration>/<phase>``), and the key is written in the
same transaction: called again with a key that is there, it does nothing and returns False. So a phase that is replayed
after a crash counts nothing twice, whichever moment the process died at, and what a method returned from is kept.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from relift.ledger import bulk, migrate, rows, schema
from relift.ledger.requests import RequestBook
from relift.ledger.rows import Columns, EntryRecord, GateWord, GoldStatus, LeavingRecord, Row, RunStatus, Use
from relift.ledger.sql import TABLES, views_sql
from relift.records import (
    Demonstration,
    EvalResult,
    IterationReport,
    PolicyVersion,
    Purpose,
    Question,
    RolloutGroup,
    UpdateReport,
)

logger = logging.getLogger(__name__)

# What may come again under another key: an evaluation's question that a later iteration evaluates again, a
# demonstration that is offered for a second time. The first one stays.
_FIRST_STAYS = frozenset({"questions", "demonstrations"})
_LOG_AT_MOST = "64MB"
"""Before it is compressed into the file. By default that is 16: a third more work, for a shorter log after a crash."""


class Ledger:
    """A run's ledger, open for writing; may be used from any thread, by one at a time.

    Example: ``with Ledger.open(Path("runs/demo-0/ledger.duckdb"), "demo-0") as ledger: ...``
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, run: str) -> None:
        self.path = path
        self.run = run
        self._connection = connection
        self._lock = threading.RLock()
        self._publishing = threading.Lock()
        self._types: dict[str, Any] = {}
        found = connection.execute("SELECT key FROM ingested WHERE run = ?", [run]).fetchall()
        self._batch_keys = {key for (key,) in found}  # asked before every batch, and nobody else writes

    @classmethod
    def open(cls, path: Path, run: str, *, else_from: Path | None = None) -> Ledger:
        """The ledger at ``path``; where there is none it is made, from a published snapshot if that is there.

        One of an earlier schema is made one of today's first, whole or not at all. Raises LedgerError for a file that
        is no ledger, that another process holds, of a newer schema, or damaged.
        """
        with schema.damage_reported(path):
            return cls._open(path, run, else_from)

    @classmethod
    def _open(cls, path: Path, run: str, else_from: Path | None) -> Self:
        if not path.exists():
            if else_from is not None and else_from.is_file():
                with schema.reading({"snapshot": else_from}) as reader:  # of a bucket, where others may write
                    migrate.read_as_todays(reader, else_from, "snapshot")
                schema.copy(else_from, path)
            else:
                schema.create(path)
        connection = migrate.attached_as_todays(path)
        try:
            migrate.read_as_todays(connection, path, "ledger")
            connection.execute(f"SET checkpoint_threshold = '{_LOG_AT_MOST}'; USE ledger")
            # Views are no part of the schema's version: whoever opens the snapshot of a resumed run gets today's.
            connection.execute(views_sql().replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))
            return cls(connection, path, run)
        except BaseException:
            connection.close()  # a file that is not let go could not be opened again by this process
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Fold the write-ahead log into the file and let it go, after a snapshot that is under way; harmless when
        closed already.

        The connection itself is let go too: a traceback may keep this object until the interpreter ends, where the
        library would report every object that is left as a leak.
        """
        with self._publishing, self._lock:
            connection = self.__dict__.pop("_connection", None)
            if connection is not None:
                connection.close()

    def record_run(
        self,
        batch_key: str,
        config_json: str,
        base_model: str,
        code_version: str,
        *,
        parent_run: str | None = None,
        parent_iteration: int | None = None,
    ) -> bool:
        """The run itself, with status running."""
        now = _now()
        row: Row = {
            "config_json": config_json,
            "base_model": base_model,
            "code_version": code_version,
            "parent_run": parent_run,
            "parent_iteration": parent_iteration,
            "status": RunStatus.RUNNING.value,
            "created_at": now,
            "updated_at": now,
        }
        return self._record(batch_key, {"runs": [row]})

    def set_status(self, status: str) -> None:
        """Say how the run stands; any of ``RunStatus``. Needs no batch key: saying it twice changes nothing."""
        with self._lock, schema.failed_writing_told(self.path):
            self._connection.execute(
                "UPDATE runs SET status = ?, updated_at = ? WHERE run = ?", [RunStatus(status).value, _now(), self.run]
            )

    def record_questions(
        self, batch_key: str, questions: Sequence[Question], split: str, gold_status: str = GoldStatus.OK
    ) -> bool:
        """Questions of one split; those whose gold answer did not parse in a call of their own, as quarantined."""
        found = rows.question_rows(questions, split=split, gold_status=GoldStatus(gold_status).value)
        return self._record(batch_key, {"questions": found})

    def record_attempts(
        self,
        batch_key: str,
        iteration: int,
        groups: Sequence[RolloutGroup],
        *,
        purpose: Purpose,
        hardest: Collection[str] = (),
        control: Collection[str] = (),
    ) -> bool:
        """The rollouts of some groups, with the text of those groups that hold no correct one.

        ``hardest`` and ``control`` are question ids: what the gate called hardest, and what is never taught. They are
        kept for ``Purpose.TRAIN`` alone, since the gate is asked about nothing else.
        """
        gate = None
        if purpose is Purpose.TRAIN:
            gate = GateWord(hardest=frozenset(hardest), control=frozenset(control))
        else:
            assert not hardest and not control, f"the gate decides on train groups, not on {purpose}"
        return self._record(
            batch_key,
            {
                "attempts": rows.attempt_columns(iteration, groups, purpose=purpose),
                "reward_parts": rows.reward_part_rows(iteration, groups, purpose=purpose),
                "reward_failures": rows.reward_failure_rows(iteration, groups, purpose=purpose),
                "groups": rows.group_rows(iteration, groups, purpose=purpose, gate=gate),
            },
        )

    def record_entries(self, batch_key: str, iteration: int, entered: Sequence[EntryRecord]) -> bool:
        """Demonstrations that came into the buffer; not those that left it in the same iteration untaught."""
        return self._record(batch_key, {"entries": rows.buffer_rows(iteration, entered)})

    def record_leavings(self, batch_key: str, iteration: int, left: Sequence[LeavingRecord]) -> bool:
        """Demonstrations that left the buffer without being taught."""
        return self._record(batch_key, {"leavings": rows.buffer_rows(iteration, left)})

    def record_demonstrations(self, batch_key: str, iteration: int, demonstrations: Sequence[Demonstration]) -> bool:
        """Solutions that were offered, the refused ones with them."""
        return self._record(batch_key, {"demonstrations": rows.demonstration_rows(iteration, demonstrations)})

    def record_update(
        self, batch_key: str, iteration: int, report: UpdateReport, version: PolicyVersion, uses: Sequence[Use] = ()
    ) -> bool:
        """One update, the policy version it made, and the demonstrations it trained on."""
        return self._record(
            batch_key,
            {
                "updates": [rows.update_row(iteration, report, version)],
                "uses": rows.use_rows(iteration, report.kind, version, uses),
            },
        )

    def record_evaluations(self, batch_key: str, iteration: int, results: Sequence[EvalResult]) -> bool:
        """Benchmarks under the policy after so many iterations; ``iteration`` rules over the results' own."""
        return self._record(batch_key, {"evaluations": rows.evaluation_rows(iteration, results)})

    def record_iteration(self, batch_key: str, report: IterationReport) -> bool:
        """What the iteration reported, but for its updates: each of those was recorded on its own."""
        return self._record(batch_key, {"iterations": [rows.iteration_row(report)]})

    @property
    def requests(self) -> RequestBook:
        """The requests to teachers, each written on its own: before it is sent and after it is answered."""
        return RequestBook(self.run, self.execute, self._write)

    def publish(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        """Replace the snapshot at ``path`` by the ledger as it is now; readers of the old one keep it undisturbed.

        From a thread of its own this runs beside writing: what is committed after its start is left to the next one.
        ``check`` is called before and meanwhile; where it raises an error, that ends it and the old snapshot stays.
        """
        partial = path.with_name(path.name + ".partial")
        with self._publishing, schema.failed_writing_told(self.path):
            check()
            schema.remove(partial)
            with self._lock:
                reader = self._connection.cursor()  # another connection to the same file: its copy sees one moment
            try:
                schema.copy_database(reader, "ledger", partial, check)
                with partial.open("rb+") as file:
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                reader.close()
                schema.remove(partial)

    def has(self, batch_key: str) -> bool:
        """Whether the batch of that key is written."""
        return batch_key in self._batch_keys

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query on the live ledger; for reading. Raises LedgerError where it meets damage."""
        with self._lock, schema.damage_reported(self.path):
            found: list[tuple[Any, ...]] = self._connection.execute(sql, list(parameters)).fetchall()
            return found

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {table: self.execute(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}

    def digest(self) -> str:
        """SHA-256 over the contents of all tables, whatever the order of the rows.

        Equal for a resumed and an uninterrupted run: wall-clock columns are left out, and so are the configuration
        and the code version, since a resume may change what may change (the store's folder, the number of iterations).
        """
        with self._lock, schema.damage_reported(self.path):
            return bulk.digest(self._connection, TABLES)

    def _record(self, batch_key: str, batch: Mapping[str, Sequence[Row] | Columns]) -> bool:
        """Write rows by table, once; False when ``batch_key`` is there already."""
        with self._lock, schema.failed_writing_told(self.path):
            if self.has(batch_key):
                logger.info("ledger: %s is already recorded", batch_key)
                return False
            with self._transaction():
                self._insert(batch_key, batch)
            self._batch_keys.add(batch_key)
            return True

    def _insert(self, batch_key: str, batch: Mapping[str, Sequence[Row] | Columns]) -> None:
        for table, found in batch.items():
            columns = found if isinstance(found, dict) else rows.columns_of(found)
            if not any(columns.values()):
                continue
            if table not in self._types:
                self._types[table] = bulk.arrow_types(self._connection, table)
            stays = table in _FIRST_STAYS
            bulk.insert(self._connection, table, self.run, columns, self._types[table], first_stays=stays)
        self._connection.execute("INSERT INTO ingested VALUES (?, ?, ?)", [self.run, batch_key, _now()])

    def _write(self, sql: str, parameters: Sequence[object]) -> None:
        """One statement as a transaction of its own, for rows that belong to no batch."""
        with self._lock, schema.failed_writing_told(self.path), self._transaction():
            self._connection.execute(sql, list(parameters))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A failed COMMIT has rolled back already, and saying so again must not hide why.
            with suppress(duckdb.Error):
                self._connection.execute("ROLLBACK")
            raise


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
