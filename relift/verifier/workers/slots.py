"""Who may use a worker, where several threads ask: a fair semaphore with named holders."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable

TICK_SECONDS = 0.1
"""Between two looks at whether the caller wants to stop."""


class WorkerSlots:
    """So many slots, given in the order in which they were asked for: a large batch cannot shut out a small one.

    It is written down who holds a slot, so that an interrupt between two lines loses none: ``give_back_all`` is enough
    whatever happened, and the slots of a holder that is gone are free.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        self._queue: deque[tuple[object, threading.Event]] = deque()
        self._lock = threading.Lock()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a slot."""
        return bool(self._queue)

    def take_if_free(self, holder: object) -> bool:
        with self._lock:
            is_free = self._is_free and not self._queue
            if is_free:
                self._held[holder] = self._held.get(holder, 0) + 1
            return is_free

    def take(self, holder: object, check: Callable[[], None]) -> None:
        """Waits for a slot; ``check`` is called meanwhile and may raise."""
        if self.take_if_free(holder):
            return
        mine = (holder, threading.Event())
        try:
            with self._lock:
                self._queue.append(mine)
            while True:
                with self._lock:
                    self._serve()
                if mine[1].wait(TICK_SECONDS):
                    return
                check()
        finally:
            with self._lock:
                if mine in self._queue:
                    self._queue.remove(mine)

    def give_back(self, holder: object) -> None:
        with self._lock:
            self._held[holder] -= 1
            self._serve()

    def give_back_all(self, holder: object) -> None:
        with self._lock:
            self._held.pop(holder, None)
            self._serve()

    @property
    def _is_free(self) -> bool:
        return sum(self._held.values()) < self._count

    def _serve(self) -> None:
        while self._queue and self._is_free:
            holder, has_come = self._queue.popleft()
            self._held[holder] = self._held.get(holder, 0) + 1
            has_come.set()
