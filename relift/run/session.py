"""What is open around a flow's work: a run, or a harvest.

Tasks are handed a ``RunRef``; ``resolve`` finds the open session behind it in this process (placement ``inline``).
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from relift.config import RunConfig
from relift.interrupt import StopFlag
from relift.ledger import Ledger, RunStatus, write_init_script
from relift.ledger.schema import SNAPSHOT
from relift.run.lock import RunLock
from relift.run.progress import METRICS, Progress
from relift.run.publisher import Publisher
from relift.store import Store
from relift.teacher.queue import DRAIN_SECONDS, TeacherQueue
from relift.verifier import Verifier

STOPPED_DRAIN_SECONDS = 0.5
"""For what teachers have under way once the session is asked to stop."""
SNAPSHOT_SECONDS = STOPPED_DRAIN_SECONDS + 2.0
"""From then on, for a snapshot of the ledger to become whole; of a large one the last stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """Where a run or a harvest lies, e.g. uri ``"runs/demo-0"``, name ``"demo-0"``."""

    uri: str
    name: str


_open: dict[str, Session] = {}


@dataclass(slots=True, kw_only=True)
class Session:
    """One writer of one folder and its ledger, made by ``relift.opening``; leaving its context closes it."""

    name: str
    config: RunConfig
    store: Store
    lock: RunLock
    ledger: Ledger
    verifier: Verifier
    teachers: TeacherQueue
    stop: StopFlag = dataclasses.field(default_factory=StopFlag)
    progress: Progress = dataclasses.field(default_factory=Progress)
    publisher: Publisher = dataclasses.field(init=False)
    published_at: float = dataclasses.field(default_factory=time.monotonic)
    is_complete: bool = False

    def __post_init__(self) -> None:
        self.publisher = Publisher(self._publish_ledger)

    @classmethod
    def resolve(cls, ref: RunRef) -> Self:
        """The session of this kind that this process holds open under a reference."""
        found = _open[ref.uri]
        assert isinstance(found, cls)
        return found

    @classmethod
    def is_open(cls, ref: RunRef) -> bool:
        return isinstance(_open.get(ref.uri), cls)

    @property
    def root(self) -> Path:
        return self.store.root

    @property
    def ref(self) -> RunRef:
        return RunRef(uri=str(self.root), name=self.name)

    @property
    def snapshot_path(self) -> Path:
        return self.root / SNAPSHOT

    def batch_key(self, key: str) -> str:
        """Of a batch that a phase writes into the ledger: one that is written again is recognised by it."""
        return f"{self.name}/{key}"

    def __enter__(self) -> Self:
        _open[self.ref.uri] = self
        return self

    def __exit__(self, *exc: object) -> None:
        """Close everything, whichever of it fails; the lock goes last."""
        _open.pop(self.ref.uri, None)
        with ExitStack() as closing:
            closing.callback(self.lock.release)
            closing.callback(self.store.release)
            closing.callback(self.ledger.close)
            closing.callback(self.publisher.close)
            closing.callback(self.verifier.close)
            closing.callback(self.dismiss_teachers)

    def complete(self) -> None:
        """It came to its end: say so in the ledger and publish it; a second call does nothing."""
        if not self.is_complete:
            self.end(RunStatus.FINISHED)
            write_init_script(self.root.parent)
            self.is_complete = True

    def end(self, status: RunStatus) -> None:
        """The last snapshot, with all that teachers were sent: of a run in a bucket nothing else is left."""
        self.dismiss_teachers()
        self.ledger.set_status(status)
        self.publish()

    def dismiss_teachers(self) -> None:
        """Nothing is sent to them any more, and what was is in the ledger: before any figure or snapshot that is to
        hold for the whole session. Harmless when they are dismissed already."""
        self.teachers.close(STOPPED_DRAIN_SECONDS if self.stop.is_set else DRAIN_SECONDS)

    def publish(self) -> None:
        """Replace the ledger snapshot that readers open by what the ledger holds now, and the metrics with it."""
        self.publisher.publish_now()
        self._put_metrics()

    def publish_beside(self) -> None:
        """The same beside whatever comes next; what goes wrong is raised when it is next asked for."""
        self.publisher.begin()
        self._put_metrics()

    def _publish_ledger(self) -> None:
        self.ledger.publish(self.snapshot_path, lambda: self.stop.check(after_seconds=SNAPSHOT_SECONDS))
        self.store.put_file(SNAPSHOT)

    def _put_metrics(self) -> None:
        """Here and not in the publisher's thread: a file that grows while it is sent has no checksum."""
        if (self.root / METRICS).exists():
            self.store.put_file(METRICS)
        self.published_at = time.monotonic()
