"""One writer per run: a lock on the run's folder (contract 10)."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from relift.errors import RunError, StoreError


class RunLock:
    """Held from ``acquire`` to ``release`` or the end of the process, whichever comes first; never left behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises RunError naming the process that holds it, StoreError where the folder cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+")
        except OSError as problem:
            raise StoreError(
                f"{self.path.parent} cannot be written ({problem.strerror}): check its permissions, or set store to "
                f"another folder."
            ) from problem
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "an unknown process"
            file.close()
            raise RunError(
                f"the run in {self.path.parent} is being written by another process: {holder}. Two trainers on one run "
                f"would spoil it. Wait for it, stop it, or start under another name with --name."
            ) from None
        file.truncate(0)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": started}))
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def withdraw(self) -> None:
        """Release a lock whose run never began, and leave no empty folder behind."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self.release()
            with suppress(OSError):  # not empty: there is a run
                self.path.parent.rmdir()
