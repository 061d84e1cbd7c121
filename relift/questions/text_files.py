"""Lines, JSON items and CSV records of text files, packed or not, each bounded: a file may be damaged or hostile."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from relift.errors import DataError

MAX_LINE_BYTES = 16 << 20
"""Of a line, a JSON item, and a CSV field."""
MAX_UNPACKED_RATIO = 100
"""Text is packed to a tenth, repeated text to a fiftieth; gzip can pack blanks to a thousandth."""
MIN_UNPACKED_BYTES = 256 << 20
"""What a packed file may hold however small it is."""

_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_FIRST_CHARS = 1 << 16


@contextmanager
def opened(file: Path, packed: str) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked; DataError where it is packed wrongly or holds more than it may."""
    try:
        with file.open("rb") as raw:
            yield _unpacked(raw, file, packed) if packed else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file} is not a whole {packed} file ({error}). Copy or write it again.") from error


def _unpacked(raw: BinaryIO, file: Path, packed: str) -> BinaryIO:
    limit = max(MIN_UNPACKED_BYTES, MAX_UNPACKED_RATIO * file.stat().st_size)
    if packed == ".gz":
        source: Any = gzip.GzipFile(fileobj=raw)
    else:
        import pyarrow as pa

        source = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    return io.BufferedReader(_Bounded(source, file, limit), buffer_size=1 << 16)


class _Bounded(io.RawIOBase):
    """What a packed file holds, up to so many bytes."""

    def __init__(self, source: Any, file: Path, limit: int) -> None:
        self._source, self._file, self._limit, self._count = source, file, limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._source.read(len(buffer))
        self._count += len(piece)
        if self._count > self._limit:
            raise DataError(
                f"{self._file} holds more than {self._limit >> 20} MiB, over {MAX_UNPACKED_RATIO} times its size: no "
                f"text packs so well. Unpack it to see what it is."
            )
        buffer[: len(piece)] = piece
        return len(piece)


def lines_of(stream: BinaryIO, file: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line with its end) of every line that is not blank, without a byte-order mark."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{file}, line {number} is longer than {MAX_LINE_BYTES >> 20} MiB, too long for a row.")
        if number == 1:
            line = _without_mark(line, file)
        if b"\0" in line:
            raise DataError(f"{file}, line {number} holds a NUL byte: it is no text, or damaged. Write it again.")
        if line.strip():
            yield number, line


def _without_mark(line: bytes, file: Path) -> bytes:
    if encoding := _BOMS.get(line[:2]):
        raise DataError(f"{file} is written in {encoding}; text is read as UTF-8. Write it again in that encoding.")
    return line.removeprefix(b"\xef\xbb\xbf")


def json_lines(stream: BinaryIO, file: Path, *, hint: str = "") -> Iterator[tuple[int, Any]]:
    """(line, value) of each line of JSON."""
    for number, line in lines_of(stream, file):
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            cut = "" if line.endswith(b"\n") else " It is the last line and does not end: the file may be half written."
            raise DataError(f"{file}, line {number} is not JSON ({error}).{cut}{hint} Write the file again.") from error


def json_file(stream: BinaryIO, file: Path) -> Iterator[tuple[int, Any]]:
    """(number from 1, value) of each item of an array, or of each line where the file is none."""
    buffered = cast(io.BufferedReader, stream)
    start = buffered.peek(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        yield from _array_items(stream, file)
    else:
        hint = " A .json file is read as an array of objects, or as one object a line."
        yield from json_lines(stream, file, hint=hint)


def _array_items(stream: BinaryIO, file: Path) -> Iterator[tuple[int, Any]]:
    """One item after another, so that the array need not fit into memory."""
    text = _Text(stream, file)
    text.take("[")
    number = 0
    while text.next_char() != "]" or number:
        number += 1
        yield number, text.item(number)
        if text.next_char() == "]":
            break
        text.take(",")
    text.take("]")
    if text.next_char():
        raise DataError(f"{file} goes on after the end of its array. Write the file again.")


class _Text:
    """Text read from the front, no more of it in memory than the next item needs."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        self._stream, self._file = stream, file
        self._characters = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._buffer, self._at = "", 0

    def _more(self, count: int) -> bool:
        """Whether there were more bytes; about ``count`` characters of them are in the buffer now."""
        read = self._stream.read(count)
        piece = self._characters.decode(read, final=not read)
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(read)

    def next_char(self) -> str:
        """The next character that is not blank, which stays; empty at the end."""
        while True:
            rest = self._buffer[self._at : self._at + _FIRST_CHARS]
            stripped = rest.lstrip()
            if stripped:
                self._at += len(rest) - len(stripped)
                return stripped[0]
            self._at += len(rest)
            if self._at >= len(self._buffer) and not self._more(_FIRST_CHARS):
                return ""

    def take(self, char: str) -> None:
        found = self.next_char()
        if found != char:
            end = "it ends there: it may be half written" if not found else f"{found!r} stands there"
            raise DataError(f"{self._file} is no whole JSON array: {char!r} is missing, {end}. Write the file again.")
        self._at += 1

    def item(self, number: int) -> Any:
        if self.next_char() != "{":
            raise DataError(f"{self._file}, item {number} is not an object of columns. Write the file again.")
        wanted = _FIRST_CHARS
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._buffer, self._at)
                return value
            except (ValueError, RecursionError) as error:
                held = len(self._buffer) - self._at
                too_long = held > MAX_LINE_BYTES
                if isinstance(error, RecursionError) or too_long or not self._more(wanted):
                    reason = f"longer than {MAX_LINE_BYTES >> 20} MiB" if too_long else f"not JSON ({error})"
                    raise DataError(f"{self._file}, item {number} is {reason}. Write the file again.") from error
                wanted *= 2


def csv_records(stream: BinaryIO, file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line on which it ends, fields) of every record, that of the header first; all with as many fields."""
    csv.field_size_limit(MAX_LINE_BYTES)  # of the process: 128 KiB are too few for a long solution
    reader = csv.reader(_decoded(stream, file), delimiter=delimiter, strict=True)
    width = 0
    try:
        for fields in filter(None, reader):
            width = width or len(fields)
            if len(fields) != width:
                raise DataError(
                    f"{file}, line {reader.line_num} has {len(fields)} fields, the header {width}. A comma or a quote "
                    f"may stand unquoted there, or the file is half written: write it again."
                )
            yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num} is not CSV ({error}). Write the file again.") from error


def _decoded(stream: BinaryIO, file: Path) -> Iterator[str]:
    """Lines as text; blank ones stay, since they may stand inside quotes."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            line = _without_mark(line, file)
        if b"\0" in line or len(line) > MAX_LINE_BYTES:
            what = "holds a NUL byte" if b"\0" in line else f"is longer than {MAX_LINE_BYTES >> 20} MiB"
            raise DataError(f"{file}, line {number} {what}: it is no CSV, or damaged. Write it again.")
        yield line.decode("utf-8")
