"""Rows of a dataset file, with the columns that are needed and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relift.errors import DataError
from relift.questions.files import kind_of
from relift.questions.table_files import read_table
from relift.questions.text_files import csv_records, json_file, json_lines, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What to read; a dot leads into a struct, e.g. ``reward_model.ground_truth``."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    setting: str
    """What the user changes where a column is missing, e.g. ``questions.text_column``."""

    @property
    def all(self) -> tuple[str, ...]:
        return self.needed + self.optional


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    file: str
    number: int
    """From 1; in JSONL the line, in CSV the line on which the record ends."""
    values: dict[str, Any]
    """By column as named in ``Columns``; a null or absent value is None."""


def read_rows(file: Path, columns: Columns) -> Iterator[Row]:
    """All rows in order. DataError names the file, and the line or column, where it cannot be read."""
    kind = kind_of(file)
    assert kind is not None, "files.py lets no other files through"
    try:
        if kind.layout in ("parquet", "arrow"):
            tables = read_table(file, kind.layout, columns.all, lambda there, top: _check(file, columns, there, top))
            yield from (_row(file, number, values, columns) for number, values in tables)
            return
        with opened(file, kind.packed) as stream:
            if kind.layout in ("csv", "tsv"):
                yield from _from_csv(file, csv_records(stream, file, "," if kind.layout == "csv" else "\t"), columns)
            else:
                items = (json_lines if kind.layout == "jsonl" else json_file)(stream, file)
                yield from _from_json(file, items, columns)
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error.reason}). Write it again in that encoding.") from error
    except OSError as error:
        raise DataError(f"The dataset {file} cannot be read: {error.strerror or error}.") from error


def _row(file: Path, number: int, values: dict[str, Any], columns: Columns) -> Row:
    return Row(file=file.name, number=number, values={name: _inside(values, name) for name in columns.all})


def _inside(values: Any, name: str) -> Any:
    if isinstance(values, dict) and name in values:
        return values[name]
    for part in name.split("."):
        if not isinstance(values, dict):
            return None
        values = values.get(part)
    return values


def _from_json(file: Path, items: Iterator[tuple[int, Any]], columns: Columns) -> Iterator[Row]:
    seen: set[str] = set()
    rows = 0
    for number, values in items:
        if not isinstance(values, dict):
            what = type(values).__name__
            raise DataError(f"{file}, line {number} holds a {what}; every line is an object of columns.")
        seen.update(list(values)[:100])
        rows += 1
        yield _row(file, number, values, columns)
    if rows:  # a column that one row lacks is that row's fault, one that no row has is the setting's
        tops = {name if name in seen else name.partition(".")[0] for name in columns.needed}
        _require(file, tops, seen, seen, columns.setting)


def _from_csv(file: Path, records: Iterator[tuple[int, list[str]]], columns: Columns) -> Iterator[Row]:
    _, header = next(records, (1, []))
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{file} has two columns {twice!r}, so it is open which is meant. Rename one.")
    if header:
        _require(file, set(columns.needed), set(header), set(header), columns.setting)
    for number, fields in records:
        yield _row(file, number, dict(zip(header, fields, strict=True)), columns)


def _check(file: Path, columns: Columns, there: set[str], top: set[str]) -> None:
    _require(file, set(columns.needed), there, top, columns.setting)


def _require(file: Path, needed: set[str], known: set[str], shown: set[str], setting: str) -> None:
    missing = sorted(needed - known)
    if missing:
        there = ", ".join(sorted(shown)[:40])
        raise DataError(
            f"{file} has no column {', '.join(map(repr, missing))}; its columns are: {there}. Change {setting}."
        )
