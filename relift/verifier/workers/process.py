"""One worker process as its caller sees it: what it was asked, what it has answered, and until when it may take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from relift.records import RewardStatus, Status
from relift.verifier.workers.messages import Job, pack, take

START_SECONDS = 120.0
"""For importing sympy on a busy machine; not counted against any answer."""
ITEMS_PER_WORKER = 1_000
"""A worker grows from 57 to about 150 MB over so many items, since sympy and ANTLR keep caches."""
READ_BYTES = 1 << 16
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A pool has a process per core already; every further thread's stack counts against the memory limit."""


class WorkerDied(Exception):
    """The worker ended without an answer."""

    def __init__(self, reason: str, *, ran_out_of_time: bool = False) -> None:
        super().__init__(reason)
        self.ran_out_of_time = ran_out_of_time
        """Whether the kernel ended it at its limit of processor time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of one item, e.g. status timeout, reason ``"no verdict within 8 s"``, seconds 8.01."""

    status: Status | RewardStatus
    reason: str = ""
    seconds: float = 0.0
    value: float | None = None
    """Of a reward."""
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One comparison to be made, or one reward to be given; ``number`` is the caller's own."""

    number: int
    texts: tuple[str | None, ...]
    """Gold and answer; of a reward, the fields of a GradedCompletion in their order."""


class WorkerProcess:
    """Speaks to one subprocess without ever waiting for it: neither for its replies nor until it reads.

    Its own session keeps a terminal's Ctrl-C away; it notices by itself when this process ends. It sees the modules
    that this process sees, and those of the working directory. Used by one thread at a time, but for ``end``.
    """

    def __init__(self, job: Job) -> None:
        self.asked: deque[Item] = deque()
        """Items without a reply; the first of them is being compared."""
        self.is_ready = False
        self.is_spent = False
        """Whether it should be asked nothing more."""
        self.fault = ""
        """Why it can compare nothing, e.g. a function that cannot be imported."""
        self.deadline = time.monotonic() + START_SECONDS
        self._items = 0
        self._since = 0.0
        self._limit_seconds = 0.0
        self._received = bytearray()
        self._statuses = RewardStatus if job.task == "reward" else Status
        self._unsent = b""
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (kept open while the worker runs)
        try:
            self.process = _started(job, self._errors)
        except BaseException:
            self._errors.close()
            raise
        assert self.process.stdin is not None and self.process.stdout is not None
        self._requests, self._replies = self.process.stdin, self.process.stdout
        self.requests_fd, self.replies_fd = self._requests.fileno(), self._replies.fileno()
        os.set_blocking(self.requests_fd, False)
        os.set_blocking(self.replies_fd, False)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for something to do."""
        return self.is_ready and not self.asked

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def ask(self, items: Sequence[Item], limit_seconds: float) -> None:
        """Hands it a message of items, each of which may take ``limit_seconds``. Raises WorkerDied."""
        self.asked.extend(items)
        self._items += len(items)
        self._limit_seconds = limit_seconds
        self._unsent = pack({"items": [item.texts for item in items]})
        self._clock_starts()
        self.send()

    def send(self) -> None:
        """Writes as much as it takes of what was not written yet. Raises WorkerDied."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self.requests_fd, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            raise self._died() from None

    def receive(self) -> list[tuple[Item, Reply]]:
        """The replies that have come, without waiting. Raises WorkerDied when it ended and nothing came before."""
        has_ended = self._read()
        try:
            replies = self._understood()
        except (ValueError, LookupError) as error:
            raise WorkerDied(f"a reply that is none ({type(error).__name__})") from error
        if has_ended and not replies:
            raise self._died()
        return replies

    @property
    def seconds_on_item(self) -> float:
        """How long the item in hand has taken so far."""
        return time.monotonic() - self._since

    def forgive(self, seconds: float) -> None:
        """So much longer may it take."""
        self._since += seconds
        self.deadline += seconds

    def end(self) -> None:
        """Kills it, and what a function started in it, and waits until it is gone; from any thread, more than once."""
        if self.process.returncode is None:
            self._kill_group()
            self.process.kill()
        self.process.wait()

    def discard(self) -> None:
        """Ends it and closes its pipes."""
        self.end()
        self._requests.close()
        self._replies.close()
        self._errors.close()

    def _clock_starts(self) -> None:
        self._since = time.monotonic()
        self.deadline = self._since + self._limit_seconds

    def _understood(self) -> list[tuple[Item, Reply]]:
        replies = []
        while (message := take(self._received)) is not None:
            if "ready" in message:
                self.is_ready, self.fault = True, message["fault"]
                continue
            reply = Reply(
                status=self._statuses(message["status"]),
                reason=message["reason"],
                seconds=message["seconds"],
                value=message.get("value"),
                parts=message.get("parts") or {},
            )
            replies.append((self.asked.popleft(), reply))
            self.is_spent = self.is_spent or message["is_spent"] or self._items - len(self.asked) >= ITEMS_PER_WORKER
            self._clock_starts()
        return replies

    def _read(self) -> bool:
        """Whether its end of the pipe is closed."""
        try:
            while chunk := os.read(self.replies_fd, READ_BYTES):
                self._received += chunk
        except BlockingIOError:
            return False
        return True

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _died(self) -> WorkerDied:
        """How it ended, and its last line."""
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return WorkerDied("it closed its pipe")
        self._kill_group()  # what it had started
        self._errors.seek(max(0, os.fstat(self._errors.fileno()).st_size - READ_BYTES))  # it may have printed gigabytes
        lines = self._errors.read(READ_BYTES).decode(errors="replace").strip().splitlines()
        said = f"exit status {code}" + (f", {lines[-1]}" if lines else "")
        return WorkerDied(said[:300], ran_out_of_time=code == -signal.SIGXCPU)


def _started(job: Job, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "relift.verifier.workers.worker", str(os.getpid()), job.to_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        bufsize=0,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": _python_path()},
        start_new_session=True,
    )


def _python_path() -> str:
    """Where this process finds modules, and the working directory, which a console script does not have in it."""
    here = str(Path.cwd())
    folders = [folder or here for folder in sys.path] + [here]
    return os.pathsep.join(dict.fromkeys(folders))
