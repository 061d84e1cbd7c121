"""Verdicts on the rows of a file, kept while it is being verified, so that what was stopped can go on.

Beside the output, in a file that begins with a dot and ends in ``.part``: a first line that says of which rows and by
which settings, then a line for each verdict in the order of the rows. A last line that was cut off counts as not there.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from relift.errors import DataError
from relift.records import DecidedBy, Status, Verdict

log = logging.getLogger(__name__)


class Journal:
    """The verdicts so far; a context manager, which removes what holds none and keeps the rest until ``finish``."""

    def __init__(self, out: Path, key: str) -> None:
        """For the output ``out``; ``key`` tells rows and settings from any others. Raises DataError where another
        process is at it."""
        self.path = out.with_name(f".{out.name}.part")
        self.count = 0
        try:
            self._file: IO[str] = self.path.open("a+", encoding="ascii", newline="\n")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._keep_whole_lines(json.dumps({"verdicts of": key}) + "\n")
            except BaseException:
                self._file.close()
                raise
        except BlockingIOError:
            raise DataError(f"{self.path} is being written by another relift verify: wait for it, or end it.") from None
        except OSError as error:
            raise DataError(f"{out} cannot be written: {error.strerror or error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self.count:
            self.finish()
        self._file.close()

    def finish(self) -> None:
        self.path.unlink(missing_ok=True)

    def append(self, verdicts: Sequence[Verdict]) -> None:
        """Written through to the file before it returns."""
        lines = [[v.status.value, v.answer, v.path.value, v.seconds, v.reason] for v in verdicts]
        self._file.write("".join(json.dumps(line) + "\n" for line in lines))
        self._file.flush()
        self.count += len(verdicts)

    def verdicts(self) -> Iterator[Verdict]:
        """Those in the file, from the first row on."""
        with self.path.open(encoding="ascii") as lines:
            next(lines)
            for line in lines:
                status, answer, path, seconds, reason = json.loads(line)
                yield Verdict(
                    status=Status(status), answer=answer, path=DecidedBy(path), seconds=seconds, reason=reason
                )

    def _keep_whole_lines(self, head: str) -> None:
        """Whatever is of other rows or settings, or was cut off, goes."""
        self._file.seek(0)
        if self._file.readline() != head:
            if self._file.tell():
                log.warning("%s is of other rows or settings, and is begun anew", self.path)
            self._file.seek(0)
            self._file.truncate()
            self._file.write(head)
            self._file.flush()
            return
        whole = self._file.tell()
        while (line := self._file.readline()).endswith("\n"):
            whole += len(line)
            self.count += 1
        self._file.truncate(whole)
        self._file.seek(whole)
