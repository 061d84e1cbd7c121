"""The comparisons of one caller on their way through the pool's workers, driven by the caller's own thread."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from relift.records import Status
from relift.verifier.workers.lending import Workers
from relift.verifier.workers.process import Item, Reply, WorkerDied, WorkerProcess
from relift.verifier.workers.slots import TICK_SECONDS

ITEMS_PER_MESSAGE = 16
"""Asking for several at once saves a third of the time on short answers."""
CHARS_PER_MESSAGE = 60_000
"""What is longer goes alone, so that one message never takes a worker long to read."""
AWAY_SECONDS = 1.0
"""Where this thread did not look for so long, everything was perhaps paused: that is no worker's fault."""
STARTS = 3
"""Workers that may fail to start, one after another, before nothing more is tried."""

Numbered = tuple[int, Reply]


class Batch:
    """Hands the items out, collects the replies, and replaces what hangs or dies.

    Every item has its own reply, so that it is known which one hangs: it alone is given up, and those behind it in the
    same message go to another worker. An item that was in hand when its worker died is asked again, alone.
    """

    def __init__(self, pool: Workers, items: Sequence[Item], check: Callable[[], None]) -> None:
        self._pool = pool
        self._generation = pool.generation
        self._caller_check = check
        self._waiting = deque(items)
        self._held: list[WorkerProcess] = []
        self._suspects: dict[int, float] = {}
        """Seconds that an item has cost a worker that died over it, by its number."""
        self._failed_starts = 0
        self._start_fault = ""
        self._is_over = False
        self._looked_at = time.monotonic()
        self._selector = selectors.DefaultSelector()

    def replies(self) -> Iterator[Numbered]:
        try:
            while self._waiting or any(worker.asked for worker in self._held):
                self._check()
                yield from self._hand_out()
                yield from self._collect()
            self._is_over = True
        finally:
            self.close()

    def fault(self) -> str:
        """Of the first worker that is ready, or why none can be started."""
        while not any(worker.is_ready for worker in self._held):
            if self._cannot_start:
                return self._start_fault
            if not self._held:
                self._hire()
            self._check()
            self._collect()
        return next(worker.fault for worker in self._held if worker.is_ready)

    def close(self) -> None:
        """Gives the workers back; what still compares is killed, and what was interrupted while it started."""
        for worker in list(self._held):
            if worker.is_idle or (self._is_over and not worker.asked):
                self._return(worker)
            else:
                self._drop(worker)
        self._selector.close()
        self._pool.slots.give_back_all(self)

    def _check(self) -> None:
        self._caller_check()
        self._pool.require(self._generation)

    @property
    def _cannot_start(self) -> bool:
        return self._failed_starts >= STARTS and not self._held

    def _hand_out(self) -> list[Numbered]:
        """Gives each free worker its share of what waits, and calls for as many workers as that keeps busy."""
        replies: list[Numbered] = []
        for worker in [worker for worker in self._held if worker.is_idle]:
            if self._waiting and not self._pool.slots.is_wanted:
                replies += self._ask(worker)
            else:
                self._return(worker)
        while self._waiting and not self._cannot_start:
            starting = sum(not worker.is_ready for worker in self._held)
            if starting >= len(self._waiting) or (hired := self._hire()) is None:
                break
            if hired.is_idle:
                replies += self._ask(hired)
        if self._cannot_start:
            replies += [(item.number, Reply(status=Status.ERROR, reason=self._start_fault)) for item in self._waiting]
            self._waiting.clear()
        return replies

    def _hire(self) -> WorkerProcess | None:
        """One more worker; None where the others have them all, or where it cannot be started."""
        if not self._held:
            self._pool.slots.take(self, self._check)
        elif self._failed_starts >= STARTS or not self._pool.slots.take_if_free(self):
            return None
        try:
            worker = self._pool.worker(self._generation)
        except BaseException as error:
            self._pool.slots.give_back(self)
            if not isinstance(error, OSError):
                raise
            self._cannot_be_started(str(error))
            return None
        self._held.append(worker)
        self._selector.register(worker.replies_fd, selectors.EVENT_READ, worker)
        return worker

    def _ask(self, worker: WorkerProcess) -> list[Numbered]:
        share = self._share()
        try:
            worker.ask(share, self._pool.hard_limit_seconds - self._suspects.get(share[0].number, 0.0))
        except WorkerDied as death:
            return self._bury(worker, death)
        if worker.has_unsent:
            self._selector.register(worker.requests_fd, selectors.EVENT_WRITE, worker)
        return []

    def _share(self) -> list[Item]:
        """What goes into one message: fewer towards the end, so that no worker sits idle while another has sixteen."""
        share = [self._waiting.popleft()]
        if share[0].number in self._suspects:
            return share
        most = min(ITEMS_PER_MESSAGE, 1 + len(self._waiting) // (2 * self._pool.workers))
        chars = _chars(share[0])
        while self._waiting and len(share) < most and self._waiting[0].number not in self._suspects:
            chars += _chars(self._waiting[0])
            if chars > CHARS_PER_MESSAGE:
                break
            share.append(self._waiting.popleft())
        return share

    def _collect(self) -> list[Numbered]:
        """The replies that come until the next look around, and verdicts on what takes too long."""
        replies: list[Numbered] = []
        until = min((w.deadline for w in self._held if w.asked or not w.is_ready), default=0.0) - time.monotonic()
        for key, _ in self._selector.select(max(0.0, min(TICK_SECONDS, until))):
            worker: WorkerProcess = key.data
            if worker not in self._held:
                continue  # dropped a moment ago, over its other pipe
            replies += self._heard(worker) if key.fd == worker.replies_fd else self._written(worker)
        now = time.monotonic()
        away, self._looked_at = now - self._looked_at - TICK_SECONDS, now
        for worker in self._held if away > AWAY_SECONDS else ():
            worker.forgive(away)
        for worker in [w for w in self._held if (w.asked or not w.is_ready) and w.deadline <= now]:
            replies += self._overdue(worker)
        return replies

    def _heard(self, worker: WorkerProcess) -> list[Numbered]:
        try:
            replies = worker.receive()
        except WorkerDied as death:
            return self._bury(worker, death)
        if worker.is_ready:
            self._failed_starts = 0
        if worker.is_spent:
            self._waiting.extendleft(reversed(worker.asked))
            self._drop(worker)
        return [(item.number, reply) for item, reply in replies]

    def _written(self, worker: WorkerProcess) -> list[Numbered]:
        try:
            worker.send()
        except WorkerDied as death:
            return self._bury(worker, death)
        if not worker.has_unsent:
            self._selector.unregister(worker.requests_fd)
        return []

    def _overdue(self, worker: WorkerProcess) -> list[Numbered]:
        if replies := self._heard(worker):  # they lay in the pipe while this thread was busy elsewhere
            return replies
        if worker not in self._held or worker.deadline > time.monotonic():
            return []
        if not worker.is_ready:
            return self._bury(worker, WorkerDied("it was never ready"))
        item, *behind = worker.asked
        reason = f"no {self._pool.job.product} within {self._pool.hard_limit_seconds:g} s"
        reply = Reply(status=Status.TIMEOUT, reason=reason, seconds=worker.seconds_on_item)
        self._kill(worker)
        self._waiting.extendleft(reversed(behind))
        return [(item.number, reply)]

    def _bury(self, worker: WorkerProcess, death: WorkerDied) -> list[Numbered]:
        """After a worker's own end: the reply to what it had in hand, if that is settled by it."""
        asked, seconds = list(worker.asked), worker.seconds_on_item
        self._kill(worker)
        self._pool.require(self._generation)  # it may have been ended by closing the pool
        if not worker.is_ready:
            self._cannot_be_started(str(death))
        if not asked:
            return []
        item, *behind = asked
        self._waiting.extendleft(reversed(behind))
        if death.ran_out_of_time:
            return [(item.number, Reply(status=Status.TIMEOUT, reason="too much processor time", seconds=seconds))]
        if item.number in self._suspects:
            reason = f"it killed the verifier's worker twice: {death}"
            return [(item.number, Reply(status=Status.ERROR, reason=reason, seconds=seconds))]
        self._suspects[item.number] = seconds
        self._waiting.append(item)
        return []

    def _cannot_be_started(self, reason: str) -> None:
        self._failed_starts += 1
        self._start_fault = f"the verifier's worker cannot be started: {reason}"

    def _kill(self, worker: WorkerProcess) -> None:
        self._pool.killed += 1
        self._drop(worker)

    def _drop(self, worker: WorkerProcess) -> None:
        self._let_go(worker)
        self._pool.discard(worker)
        self._pool.slots.give_back(self)

    def _return(self, worker: WorkerProcess) -> None:
        self._let_go(worker)
        self._pool.put_back(worker)
        self._pool.slots.give_back(self)

    def _let_go(self, worker: WorkerProcess) -> None:
        self._held.remove(worker)
        for fd in (worker.replies_fd, worker.requests_fd):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)


def _chars(item: Item) -> int:
    return sum(len(text) for text in item.texts if text is not None)
