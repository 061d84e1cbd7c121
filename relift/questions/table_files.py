"""Rows of Parquet and Arrow files, a batch at a time, with the columns that are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relift.errors import DataError

MAX_COLUMN_BYTES = 32 << 30
"""Of the needed columns of a Parquet file, uncompressed; read in batches, so memory needs far less."""
_BATCH_ROWS = 1_024
_ARROW_FILE = b"ARROW1"

Values = dict[str, Any]
Check = Callable[[set[str], set[str]], None]
"""Called with all names one may ask for, those of leaves too, and with the columns; raises where one is missing."""


def read_table(file: Path, layout: str, names: Sequence[str], check: Check) -> Iterator[tuple[int, Values]]:
    """(number from 1, columns) of all rows; DataError where the file is damaged."""
    import pyarrow as pa

    what = "Parquet" if layout == "parquet" else "Arrow"
    number = 0
    try:
        for batch in (_parquet if layout == "parquet" else _arrow)(file, names, check):
            for values in _rows(batch):
                number += 1
                yield number, values
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{file} is not a whole {what} file ({reason}). It may be half written: copy or write it again."
        ) from error


def _parquet(file: Path, names: Sequence[str], check: Check) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        columns = map(parquet.schema.column, range(len(parquet.schema)))
        leaves = {column.path.replace(".list.element", "") for column in columns}
        top = set(parquet.schema_arrow.names)
        check(top | leaves, top)
        there = [name for name in names if name in top | leaves]
        _check_size(file, parquet.metadata, there)
        yield from parquet.iter_batches(batch_size=_BATCH_ROWS, columns=there)


def _check_size(file: Path, metadata: Any, names: list[str]) -> None:
    """A few bytes of Parquet can stand for terabytes."""
    tops = {name.partition(".")[0] for name in names}
    size = 0
    for group in range(metadata.num_row_groups):
        chunks = map(metadata.row_group(group).column, range(metadata.num_columns))
        size += sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in tops)
    if size > MAX_COLUMN_BYTES:
        raise DataError(f"{file} holds {size >> 30} GiB in {sorted(tops)}, at most {MAX_COLUMN_BYTES >> 30} are read.")


def _arrow(file: Path, names: Sequence[str], check: Check) -> Iterator[Any]:
    """A stream, as ``save_to_disk`` writes it, or a file with a footer; mapped, so that memory holds one batch."""
    import pyarrow as pa

    if file.stat().st_size == 0:
        raise pa.ArrowInvalid("it is empty")
    with pa.memory_map(str(file)) as source:
        is_file = source.read(len(_ARROW_FILE)) == _ARROW_FILE
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        top = set(reader.schema.names)
        known = top | _leaves(reader.schema)
        check(known, top)
        tops = list(dict.fromkeys(name if name in top else name.partition(".")[0] for name in names))
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        for whole in batches:
            batch = whole.select([name for name in tops if name in top])
            batch.validate(full=True)  # offsets out of bounds would be read as they stand
            yield from (batch.slice(start, _BATCH_ROWS) for start in range(0, len(batch), _BATCH_ROWS))


def _leaves(schema: Any) -> set[str]:
    """Dotted names of what lies in structs."""
    import pyarrow as pa

    found: set[str] = set()
    open_fields = [(field.name, field.type) for field in schema]
    while open_fields:
        name, kind = open_fields.pop()
        if pa.types.is_struct(kind):
            inner = [(f"{name}.{field.name}", field.type) for field in kind]
            found.update(path for path, _ in inner)
            open_fields += inner
    return found


def _rows(batch: Any) -> Iterator[Values]:
    widen = {field.name: widened for field in batch.schema if (widened := _widened(field.type))}
    for values in batch.to_pylist():
        for name, widened in widen.items():
            values[name] = widened(values[name])
        yield values


def _widened(kind: Any) -> Callable[[Any], Any] | None:
    """How a value of a column with narrow floats becomes a Python float; None where the column has none.

    0.1 as a float32 is 0.10000000149011612 as a float64. What was meant is the shortest decimal that is this float32.
    """
    import pyarrow as pa

    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        narrow = np.float16 if pa.types.is_float16(kind) else np.float32
        return lambda value: None if value is None else float(str(narrow(value)))
    if pa.types.is_dictionary(kind):
        return _widened(kind.value_type)
    if pa.types.is_struct(kind):
        fields = {field.name: widened for field in kind if (widened := _widened(field.type))}
        return _in_struct(fields) if fields else None
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        each = _widened(kind.value_type)
        return (lambda values: None if values is None else [each(value) for value in values]) if each else None
    return None


def _in_struct(fields: dict[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def widened(values: Any) -> Any:
        if values is None:
            return None
        return {name: fields[name](value) if name in fields else value for name, value in values.items()}

    return widened
