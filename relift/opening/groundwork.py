"""What run and harvest have in common while they are opened: checked first, then locked, and undone where it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from relift.config import RunConfig
from relift.interrupt import StopFlag
from relift.ledger import Ledger
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.policy.student import Student
from relift.run.identity import RUN_FILE, run_store
from relift.run.lock import RunLock
from relift.store import Store
from relift.teacher.client import ApiClient
from relift.teacher.connect import open_queue
from relift.teacher.queue import TeacherQueue
from relift.verifier import Verifier
from relift.verifier.configured import make_verifier, require_comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Groundwork:
    """Checked and, after ``acquire``, this process's own; nothing is written before."""

    name: str
    config: RunConfig
    store: Store
    lock: RunLock
    student: Student
    verifier: Verifier
    stop: StopFlag
    undo: ExitStack

    def acquire(self) -> None:
        """Be the only writer. Raises RunError naming the process that is, StoreError where nothing can be written."""
        self.lock.acquire()
        self.store.acquire(self.stop)

    def ledger(self) -> Ledger:
        """Restored from its published snapshot where this machine has none."""
        self.store.fetch_file(SNAPSHOT)
        ledger = Ledger.open(self.store.root / LEDGER, self.name, else_from=self.store.root / SNAPSHOT)
        self.undo.callback(ledger.close)
        return ledger

    def teachers(self, api: ApiClient | None, ledger: Ledger) -> TeacherQueue:
        queue = open_queue(self.config, api, verifier=self.verifier, student=self.student, ledger=ledger)
        self.undo.callback(queue.close, 0.0)
        return queue


@contextmanager
def groundwork(config: RunConfig, name: str, stop: StopFlag | None) -> Iterator[Groundwork]:
    """What is made in the context stays open when it is left well, and is closed and unlocked by an exception.

    Raises a UserError for the name, the model's files and the comparison of answers.
    """
    from relift.policy.model import load_student

    store = run_store(config, name)
    student = load_student(config.policy)
    lock = RunLock(store.root / "lock")
    verifier = make_verifier(config, think_opened=student.thinks)
    with ExitStack() as undo:
        undo.callback(_leave, store, lock)
        undo.callback(store.release)
        undo.callback(verifier.close)
        require_comparison(config, verifier)
        yield Groundwork(
            name=name,
            config=config,
            store=store,
            lock=lock,
            student=student,
            verifier=verifier,
            stop=stop or StopFlag(),
            undo=undo,
        )
        undo.pop_all()


def _leave(store: Store, lock: RunLock) -> None:
    """Where nothing began no empty folder stays."""
    if (store.root / RUN_FILE).exists():
        lock.release()
    else:
        lock.withdraw()


def record_start(ledger: Ledger, config: RunConfig, *, code_version: str) -> None:
    """The run itself, once."""
    ledger.record_run(
        f"{ledger.run}/run",
        config_json=config.model_dump_json(),
        base_model=config.policy.model,
        code_version=code_version,
    )
