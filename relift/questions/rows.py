"""Rows of a dataset file, with the columns that are needed and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relift.errors import ConfigError, DataError

MAX_LINE_BYTES = 16 << 20
MAX_COLUMN_BYTES = 32 << 30
"""Of the needed columns of a Parquet file, uncompressed; read in batches, so memory needs far less."""
_BATCH_ROWS = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What to read; a dot leads into a struct, e.g. ``reward_model.ground_truth``."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    setting: str
    """What the user changes where a column is missing, e.g. ``questions.text_column``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    file: str
    number: int
    """From 1; in JSONL the line."""
    values: dict[str, Any]
    """By column as named in ``Columns``; a null or absent value is None."""


def dataset_files(path: str | None) -> list[Path]:
    """The files of a dataset, in the order of their names; DataError where there is none that can be read.

    A folder may hold the shards of one dataset; a folder with several datasets (train and test) is refused, since
    reading both would train on what is to be evaluated.
    """
    if not path:
        raise ConfigError("questions.path is not set, so there is no dataset: set it to a .jsonl or .parquet file.")
    if "://" in path:
        raise DataError(f"questions.path={path!r} is not a local path. Download the dataset and name the local file.")
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"The dataset {path} does not exist (looked in {Path.cwd()}). Set questions.path to a file.")
    if root.is_file():
        _check_suffix(root)
        return [root]
    files = sorted(file for file in root.iterdir() if file.suffix in _READERS and file.is_file())
    if not files:
        raise DataError(f"The folder {path} holds no .jsonl or .parquet file. Set questions.path to a dataset.")
    if len({(re.sub(r"\d+", "", file.stem), file.suffix) for file in files}) > 1:
        names = ", ".join(file.name for file in files[:6])
        raise DataError(
            f"The folder {path} holds more than one dataset ({names}); read together, questions kept for evaluation "
            f"could be trained on. Set questions.path to one file."
        )
    return files


def read_rows(file: Path, columns: Columns) -> Iterator[Row]:
    """All rows in order. DataError names the file, and the line or column, where it cannot be read."""
    try:
        yield from _READERS[file.suffix](file, columns)
    except OSError as error:
        raise DataError(f"The dataset {file} cannot be read: {error.strerror or error}.") from error


def _read_jsonl(file: Path, columns: Columns) -> Iterator[Row]:
    seen: set[str] = set()
    rows = 0
    with file.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise DataError(f"{file}, line {number} is longer than {MAX_LINE_BYTES >> 20} MiB, too long for a row.")
            if not line.strip():
                continue
            values = _parse_line(file, number, line)
            seen.update(list(values)[:100])
            rows += 1
            yield Row(
                file=file.name,
                number=number,
                values={name: _inside(values, name) for name in columns.needed + columns.optional},
            )
    if rows:  # a column that one row lacks is that row's fault, one that no row has is the setting's
        needed = {name if name in seen else name.partition(".")[0] for name in columns.needed}
        _check_columns(file, needed, seen, columns.setting)


def _parse_line(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        cut = "" if line.endswith(b"\n") else " It is the last line and does not end: the file may be half written."
        raise DataError(f"{file}, line {number} is not JSON ({error}).{cut} Write the file again.") from error
    if not isinstance(values, dict):
        raise DataError(f"{file}, line {number} holds a {type(values).__name__}; every line is an object of columns.")
    return values


def _inside(values: Any, name: str) -> Any:
    if isinstance(values, dict) and name in values:
        return values[name]
    for part in name.split("."):
        if not isinstance(values, dict):
            return None
        values = values.get(part)
    return values


def _read_parquet(file: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            there = {
                field.path.replace(".list.element", "")
                for field in map(parquet.schema.column, range(len(parquet.schema)))
            }
            names = _present(file, columns, set(parquet.schema_arrow.names), there)
            _check_size(file, parquet.metadata, names)
            number = 0
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                for values in batch.to_pylist():
                    number += 1
                    found = {name: _inside(values, name) for name in columns.needed + columns.optional}
                    yield Row(file=file.name, number=number, values=found)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(
            f"{file} is not a whole Parquet file ({reason}). It may be half written: copy or write it again."
        ) from error


def _present(file: Path, columns: Columns, top: set[str], leaves: set[str]) -> list[str]:
    """The names to ask the reader for: a plain name is a whole column, a dotted one a leaf."""
    known = top | leaves
    _check_columns(file, set(columns.needed), known, columns.setting, shown=top)
    return [name for name in columns.needed + columns.optional if name in known]


def _check_columns(
    file: Path, needed: set[str], known: set[str], setting: str, *, shown: set[str] | None = None
) -> None:
    missing = sorted(needed - known)
    if missing:
        there = ", ".join(sorted(shown or known)[:40])
        raise DataError(
            f"{file} has no column {', '.join(map(repr, missing))}; its columns are: {there}. Change {setting}."
        )


def _check_size(file: Path, metadata: Any, names: list[str]) -> None:
    """A few bytes of Parquet can stand for terabytes."""
    tops = {name.partition(".")[0] for name in names}
    size = 0
    for group in range(metadata.num_row_groups):
        chunks = map(metadata.row_group(group).column, range(metadata.num_columns))
        size += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in tops)
    if size > MAX_COLUMN_BYTES:
        raise DataError(f"{file} holds {size >> 30} GiB in {sorted(tops)}, at most {MAX_COLUMN_BYTES >> 30} are read.")


def _check_suffix(file: Path) -> None:
    if file.suffix not in _READERS:
        raise DataError(
            f"{file} has the extension {file.suffix!r}; datasets are read from {' and '.join(_READERS)}. "
            f"Convert it, or set questions.path to another file."
        )


_READERS = {".jsonl": _read_jsonl, ".parquet": _read_parquet}
