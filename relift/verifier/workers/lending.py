"""Worker processes, started when first needed and lent to one caller at a time."""

from __future__ import annotations

import os
import threading
import weakref

from relift.errors import Interrupted
from relift.verifier.workers.messages import Job
from relift.verifier.workers.process import WorkerProcess
from relift.verifier.workers.slots import WorkerSlots

MOST_WORKERS = 8
"""By default; on a large machine other runs and the model's own threads want cores too."""

CLOSED = "the verifier was closed while it compared answers"


class Workers:
    """As many processes as may run at a time, living or not yet started; from any thread."""

    def __init__(self, *, hard_limit_seconds: float = 8.0, workers: int | None = None, job: Job | None = None) -> None:
        """``workers``: processes at most; by default one a core, and at most ``MOST_WORKERS``."""
        self.hard_limit_seconds = hard_limit_seconds
        self.workers = workers or min(usable_cores(), MOST_WORKERS)
        self.started = 0
        """Workers started so far."""
        self.killed = 0
        """Workers that hung or died."""
        self.job = job or Job(cpu_seconds=int(hard_limit_seconds) + 2)
        self._reset()

    def own(self) -> None:
        """Forget what another process started: after a fork these workers answer to that one."""
        if os.getpid() != self._owner:
            self._reset()

    def close(self) -> None:
        """Ends all workers; the pool may still be used and starts others."""
        with self._lock:
            self._generation += 1
            idle, held = list(self._idle), self._living.difference(self._idle)
            self._idle.clear()
            self._living.clear()
        for worker in idle:
            worker.discard()
        for worker in held:
            worker.end()  # its holder sees the end and closes the pipes

    def worker(self, generation: int) -> WorkerProcess:
        """One that waits for work, or a new one; for the holder of a slot. Raises OSError where none can be started."""
        while idle := self._pop_idle():
            if idle.process.poll() is None:
                return idle
            self.discard(idle)
        worker = WorkerProcess(self.job)
        with self._lock:
            self.started += 1
            if generation == self._generation:
                self._living.add(worker)
                return worker
        worker.discard()
        raise Interrupted(CLOSED)

    def put_back(self, worker: WorkerProcess) -> None:
        with self._lock:
            if worker in self._living:
                self._idle.append(worker)
                return
        worker.discard()  # the pool was closed meanwhile

    def discard(self, worker: WorkerProcess) -> None:
        worker.discard()
        with self._lock:
            self._living.discard(worker)

    def require(self, generation: int) -> None:
        """Raises Interrupted when the pool was closed since."""
        if generation != self._generation:
            raise Interrupted(CLOSED)

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def processes(self) -> list[int]:
        """Process ids of the workers."""
        with self._lock:
            return [worker.process.pid for worker in self._living]

    def _pop_idle(self) -> WorkerProcess | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self.slots = WorkerSlots(self.workers)
        self._generation = 0
        self._idle: list[WorkerProcess] = []
        self._living: set[WorkerProcess] = set()
        weakref.finalize(self, _end_all, self._living, self._owner)  # also when Python exits


def usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _end_all(workers: set[WorkerProcess], owner: int) -> None:
    if os.getpid() == owner:
        for worker in list(workers):
            worker.discard()
