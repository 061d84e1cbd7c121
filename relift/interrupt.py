"""Stopping on request: a flag that long work looks at between decode steps and micro-batches (contract 8)."""

from __future__ import annotations

import threading
import time

from relift.errors import Interrupted, ReliftError


class StopFlag:
    """Set from a signal handler or another thread; ``check`` raises Interrupted from then on."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason: ReliftError | None = None
        self._since = float("inf")

    def set(self, reason: ReliftError | None = None) -> None:
        """``reason`` is raised instead of Interrupted, where it was not the user who asked to stop."""
        self._reason = self._reason or reason
        self._since = min(self._since, time.monotonic())
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self, *, after_seconds: float = 0.0) -> None:
        """``after_seconds``: for what had better end, and may take so long from the moment the flag was set."""
        if time.monotonic() < self._since + after_seconds:
            return
        if self._reason is not None:
            raise self._reason
        if self._event.is_set():
            raise Interrupted("stopped on request; run the same command again (without --fresh) to go on where it was")
