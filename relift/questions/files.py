"""Which files a dataset is made of, and how each is to be read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relift.errors import ConfigError, DataError

LAYOUTS = {
    ".arrow": "arrow",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".tsv": "tsv",
}
PACKED = (".gz", ".zst")
"""Of text files; Parquet and Arrow pack their columns themselves."""
KNOWN = f"{', '.join(LAYOUTS)}, text also as {' or '.join(PACKED)}"
METADATA = {"dataset_info.json", "dataset_infos.json"}
MAX_STATE_BYTES = 1 << 20

_VARIABLE = re.compile(r"^\$\{?(\w+)")
_NUMBERED = re.compile(r"[-_.]?(?:\d+)(?:-of-\d+)?$")
_SHARD = re.compile(r"(\d+)-of-(\d+)")
_UNIQUE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{16,40}\b")
"""What writers of many files put into their names: a UUID, or a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a file is read, e.g. layout ``"jsonl"``, packed ``".gz"``."""

    layout: str
    packed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Files in their order, e.g. two shards of name ``"train"``."""

    files: tuple[Path, ...]
    name: str
    """Of the file without its extensions; of shards what they share. Results go by it."""


def kind_of(file: Path) -> Kind | None:
    """By the extension, in whatever case; None where it is not one that is read."""
    *_, before, last = ["", "", *(suffix.lower() for suffix in file.suffixes)]
    packed = last if last in PACKED else ""
    layout = LAYOUTS.get(before if packed else last)
    if layout is None or (packed and layout in ("parquet", "arrow")):
        return None
    return Kind(layout=layout, packed=packed)


def find_dataset(path: str | None, setting: str = "questions.path") -> Dataset:
    """The dataset that a setting names: a file, or a folder of shards, or one written by ``save_to_disk``; a path may
    hold environment variables.

    DataError where there is none that can be read as a whole. A folder with several datasets (train and test) is
    refused, since reading both would train on what is to be evaluated.
    """
    if not path:
        raise ConfigError(f"{setting} is not set, so there is no dataset: set it to a file ({KNOWN}) or a folder.")
    if "://" in path:
        raise DataError(f"{setting}={path!r} is not a local path. Download the dataset and name the local file.")
    given, path = path, os.path.expandvars(path)
    if unset := _VARIABLE.search(path):
        raise DataError(
            f"{setting}={given!r}: the environment variable {unset[1]} is not set. Set it to the folder of the data, "
            f"or name the file."
        )
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"The dataset {path} does not exist (looked in {Path.cwd()}). Set {setting} to a file.")
    if root.is_dir():
        return _folder(root, setting)
    if not root.is_file():
        raise DataError(f"The dataset {path} is neither a file nor a folder. Set {setting} to a dataset.")
    if kind_of(root) is None:
        raise DataError(
            f"{root} has the extension {''.join(root.suffixes[-2:])!r}; datasets are read from {KNOWN}. Convert it, or "
            f"set {setting} to another file."
        )
    return Dataset(files=(root,), name=_stem(root))


def _folder(root: Path, setting: str) -> Dataset:
    if (root / "dataset_dict.json").exists():
        splits = ", ".join(sorted(entry.name for entry in root.iterdir() if entry.is_dir()))
        raise DataError(
            f"The folder {root} holds several splits ({splits}); read together, questions kept for evaluation could be "
            f"trained on. Set {setting} to one of them."
        )
    if (root / "state.json").exists():
        return Dataset(files=_saved_to_disk(root), name=root.resolve().name)
    entries = sorted(entry for entry in root.iterdir() if _may_be_read(entry))
    tables = [entry for entry in entries if entry.suffix.lower() != ".json"]
    files = tables or entries  # beside others a .json describes them
    if not files:
        inside = ", ".join(sorted(entry.name for entry in root.iterdir())[:6]) or "nothing"
        raise DataError(f"The folder {root} holds no file to read ({KNOWN}) but {inside}. Set {setting} to a dataset.")
    for file in files:
        if not file.is_file():
            what = "a link to nothing" if file.is_symlink() else "no file"
            raise DataError(f"{file} is {what}, so the dataset is not whole. Mend it, or set {setting} to one file.")
    if len({(re.sub(r"\d+", "", _UNIQUE.sub("", _stem(file))), kind_of(file)) for file in files}) > 1:
        names = ", ".join(file.name for file in files[:6])
        raise DataError(
            f"The folder {root} holds more than one dataset ({names}); read together, questions kept for evaluation "
            f"could be trained on. Set {setting} to one file."
        )
    _require_every_shard(root, files)
    return Dataset(files=tuple(files), name=_shared_name(files, root))


def _may_be_read(entry: Path) -> bool:
    return kind_of(entry) is not None and entry.name[0] not in "._" and entry.name not in METADATA


def _saved_to_disk(root: Path) -> tuple[Path, ...]:
    """The Arrow files of a folder that Hugging Face's ``save_to_disk`` wrote, in the order that it states."""
    try:
        with (root / "state.json").open("rb") as file:
            state: Any = json.loads(file.read(MAX_STATE_BYTES))
        names = [one["filename"] for one in state["_data_files"]]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise DataError(
            f"{root / 'state.json'} does not say which files a saved dataset has ({error!r}). Save it again."
        ) from error
    files = []
    for name in names:
        is_plain = isinstance(name, str) and name not in ("", ".", "..") and not re.search(r"[/\\\0]", name)
        if not is_plain or kind_of(Path(name)) != Kind(layout="arrow") or not (root / name).is_file():
            raise DataError(
                f"{root / 'state.json'} names {name!r}, which is no Arrow file in that folder. Save the dataset again."
            )
        files.append(root / name)
    if not files:
        raise DataError(f"{root / 'state.json'} names no file, so the saved dataset holds no rows.")
    return tuple(files)


def _require_every_shard(root: Path, files: Sequence[Path]) -> None:
    """A download that stopped leaves ``train-00000-of-00003`` alone, which would pass for a dataset."""
    shards = [match for file in files if (match := _SHARD.search(file.name))]
    for total in {int(match[2]) for match in shards}:
        there = {int(match[1]) for match in shards if int(match[2]) == total}
        if len(there) < total <= 100_000:
            missing = next(number for number in range(total + 1) if number not in there)
            raise DataError(
                f"The folder {root} holds {len(there)} of {total} shards; number {missing} is missing. Download the "
                f"dataset again."
            )


def _stem(file: Path) -> str:
    """The name without the extensions that say how the file is read: ``train.jsonl.gz`` is ``train``."""
    stem = Path(file.stem)
    return stem.stem if file.suffix.lower() in PACKED else file.stem


def _shared_name(files: Sequence[Path], root: Path) -> str:
    if len(files) == 1:
        return _stem(files[0])
    name = _NUMBERED.sub("", _UNIQUE.sub("", _stem(files[0])).rstrip("-_."))
    return name if name and not name.startswith(("part-", "data")) else root.resolve().name
