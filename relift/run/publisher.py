"""Publishing beside training: one snapshot at a time, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from relift.errors import Interrupted

log = logging.getLogger(__name__)


class Publisher:
    """Calls ``publish`` in a thread; whoever asks goes on at once.

    What went wrong there is raised at the next call, so that a run whose ledger can no longer be published ends with
    that message rather than without a word.
    """

    def __init__(self, publish: Callable[[], None]) -> None:
        self._publish = publish
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        """Begin a snapshot; where one is under way, nothing: its successor comes with the next call."""
        if self.is_busy:
            return
        self.wait()
        self._thread = threading.Thread(target=self._work, name="publish", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when no snapshot is under way, raising what the last one raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def publish_now(self) -> None:
        """A snapshot of what the ledger holds now, waited for; what an earlier one failed of no longer matters then."""
        self.close()
        self._publish()

    def close(self) -> None:
        """Let a snapshot that is under way finish; a failure is logged, but for a request to stop."""
        try:
            self.wait()
        except Interrupted:
            pass
        except Exception as problem:
            log.warning("a snapshot of the ledger was not published, the ledger itself is kept: %s", problem)

    def _work(self) -> None:
        try:
            self._publish()
        except BaseException as problem:
            self._failure = problem
