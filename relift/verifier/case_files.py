"""Files of rows that can be read in pieces and copied with columns added."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from relift.errors import DataError

ADDED = ("status", "extracted", "path", "seconds", "reason")
"""The columns of a verdict."""
ROWS_AT_A_TIME = 4_096
MAX_LINE_BYTES = 16 << 20


class Rows(Protocol):
    """The rows of one file."""

    count: int

    def digest(self) -> str:
        """Of the bytes of the file."""

    def pieces(self) -> Iterator[Any]: ...
    def pairs(self, piece: Any) -> list[tuple[Any, Any]]:
        """The (gold, answer) of each row, as they stand there."""

    def writer(self, out: Path) -> Any:
        """A context whose value takes (piece, added columns)."""


def open_rows(source: Path) -> Rows:
    """The file, looked through once. Raises DataError where it cannot be verified: what is found late is paid for."""
    if source.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"{source} is neither .jsonl nor .parquet. For one pair give two texts: GOLD ANSWER.")
    try:
        return JsonLines(source) if source.suffix == ".jsonl" else ParquetRows(source)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from error


class JsonLines:
    """One object a line."""

    def __init__(self, source: Path) -> None:
        self._source = source
        known: set[str] = set()
        self.count = 0
        for row in self._rows():
            known.update(row)
            self.count += 1
        if self.count:
            require_columns(source, known)

    def digest(self) -> str:
        return digest_of(self._source)

    def pieces(self) -> Iterator[list[dict[str, Any]]]:
        rows = self._rows()
        while piece := list(islice(rows, ROWS_AT_A_TIME)):
            yield piece

    def pairs(self, piece: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
        return [(row.get("gold"), row.get("answer")) for row in piece]

    @contextmanager
    def writer(self, out: Path) -> Iterator[Callable[[list[dict[str, Any]], dict[str, list[Any]]], None]]:
        with out.open("w", encoding="ascii") as file:

            def write(piece: list[dict[str, Any]], added: dict[str, list[Any]]) -> None:
                for number, row in enumerate(piece):
                    file.write(json.dumps(row | {name: added[name][number] for name in ADDED}) + "\n")

            yield write

    def _rows(self) -> Iterator[dict[str, Any]]:
        with self._source.open("rb") as lines:
            number = 0
            while line := lines.readline(MAX_LINE_BYTES + 1):
                number += 1
                if line.strip():
                    yield self._row(number, line)

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        where = f"{self._source}, line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{where} is longer than {MAX_LINE_BYTES >> 20} MiB, too long for a row.")
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not JSON ({error}). Mend or remove the line.") from error
        if not isinstance(row, dict):
            raise DataError(f"{where} holds a {type(row).__name__}; every line is an object of columns.")
        return row


class ParquetRows:
    def __init__(self, source: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._source = source
        try:
            with pq.ParquetFile(source) as file:
                self.count = file.metadata.num_rows
                self._schema = file.schema_arrow
        except pa.ArrowException as error:
            raise self._damaged(error) from error
        require_columns(source, set(self._schema.names))

    def digest(self) -> str:
        return digest_of(self._source)

    def pieces(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._source) as file:
                yield from file.iter_batches(batch_size=ROWS_AT_A_TIME)
        except pa.ArrowException as error:
            raise self._damaged(error) from error

    def pairs(self, piece: Any) -> list[tuple[Any, Any]]:
        return list(zip(piece.column("gold").to_pylist(), piece.column("answer").to_pylist(), strict=True))

    @contextmanager
    def writer(self, out: Path) -> Iterator[Callable[[Any, dict[str, list[Any]]], None]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = dict.fromkeys(ADDED, pa.string()) | {"seconds": pa.float64()}
        schema = self._schema
        for name in ADDED:
            schema = schema.append(pa.field(name, types[name]))
        with pq.ParquetWriter(out, schema, compression="zstd") as file:

            def write(piece: Any, added: dict[str, list[Any]]) -> None:
                columns = [pa.array(map(_encodable, added[name]), types[name]) for name in ADDED]
                file.write_batch(pa.record_batch([*piece.columns, *columns], schema=schema))

            yield write

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self._source} is not a whole Parquet file ({str(error).splitlines()[0][:200]}).")


def digest_of(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_columns(source: Path, known: set[str]) -> None:
    """Raises DataError where a column is missing, or where one would be written over."""
    there = ", ".join(sorted(known)[:40])
    if missing := [name for name in ("gold", "answer") if name not in known]:
        raise DataError(
            f"{source} has no column {' and no column '.join(map(repr, missing))}; its columns are: {there}. "
            f"Rename those with the gold answers and with what is to be verified."
        )
    if taken := [name for name in ADDED if name in known]:
        raise DataError(f"{source} already has a column {taken[0]!r}, which verdicts are written to. Rename it.")


def _encodable(value: Any) -> Any:
    """Half a surrogate pair cannot be written as UTF-8."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
