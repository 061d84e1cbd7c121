"""The caller's side of the worker: one process, started when first needed, killed and replaced when it hangs."""

from __future__ import annotations

import logging
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO, Any

from relift.records import Status
from relift.verifier.messages import HEADER, body_length, pack, unpack

START_SECONDS = 120.0
"""For importing sympy on a busy machine; not counted against any answer."""
ITEMS_PER_WORKER = 1_000
"""A worker grows from 57 to about 150 MB over so many items, since sympy and ANTLR keep caches."""

logger = logging.getLogger(__name__)


class WorkerDied(Exception):
    """The worker ended without an answer."""


class WorkerHung(Exception):
    """The worker gave no answer in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: Status
    reason: str = ""


class WorkerPool:
    """Compares answers with math-verify; from any thread, one at a time, never longer than the hard limit.

    A hang costs the one answer that hung. A worker that dies is replaced and asked once more, since it may also
    be killed from outside; an answer that kills it twice gets the status ``error``.
    """

    def __init__(self, *, hard_limit_seconds: float) -> None:
        self.hard_limit_seconds = hard_limit_seconds
        self.started = 0
        """Workers started so far."""
        self._worker: _Worker | None = None
        self._lock = threading.Lock()

    def compare(self, gold: str, answer: str) -> Reply:
        """Status correct, wrong, bad_gold, timeout or error; both sides are bare, normalised and bounded."""
        with self._lock:
            for last_try in (False, True):
                try:
                    return self._ask({"gold": gold, "answer": answer})
                except WorkerHung:
                    self._kill()
                    return Reply(Status.TIMEOUT, f"no verdict within {self.hard_limit_seconds:g} s")
                except (WorkerDied, OSError, ValueError) as error:
                    self._kill()
                    if last_try:
                        return Reply(Status.ERROR, f"the verifier's worker died: {error}"[:300])
                except BaseException:  # Ctrl-C between a request and its reply: the pipe is of no more use
                    self._kill()
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        with self._lock:
            self._kill()

    def _ask(self, request: dict[str, Any]) -> Reply:
        if self._worker is not None and self._worker.items >= ITEMS_PER_WORKER:
            self._kill()
        if self._worker is None:
            self._worker = _Worker()
            self.started += 1
            self._worker.wait_until_ready()
        reply = self._worker.ask(request, self.hard_limit_seconds)
        return Reply(Status(reply["status"]), reply["reason"])

    def _kill(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            worker.kill()


class _Worker:
    """One subprocess. Its own session keeps a terminal's Ctrl-C away; it notices by itself when this process ends."""

    def __init__(self) -> None:
        self.items = 0
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (kept open while the worker runs)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "relift.verifier.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout

    def wait_until_ready(self) -> None:
        try:
            self._receive(time.monotonic() + START_SECONDS)
        except WorkerHung:
            raise WorkerDied(f"it was not ready after {START_SECONDS:g} s") from None

    def ask(self, request: dict[str, Any], limit_seconds: float) -> dict[str, Any]:
        self.items += 1
        self._requests.write(pack(request))  # the worker reads all of it before it computes
        return self._receive(time.monotonic() + limit_seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._replies.close()
        self._errors.close()

    def _receive(self, deadline: float) -> dict[str, Any]:
        return unpack(self._read(body_length(self._read(HEADER.size, deadline)), deadline))

    def _read(self, count: int, deadline: float) -> bytes:
        data = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while len(data) < count:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise WorkerHung
                chunk = os.read(self._replies.fileno(), count - len(data))
                if not chunk:
                    raise WorkerDied(self._last_words())
                data += chunk
        return data

    def _last_words(self) -> str:
        code = self._process.wait(5)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"exit status {code}" + (f", {lines[-1]}" if lines else "")
