"""What makes an artifact whole: the names, sizes and checksums of its files, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from relift.errors import StoreError
from relift.store.names import checked

MANIFEST = "manifest.json"
FORMAT = 1
MOST_BYTES = 16 << 20
"""Of a manifest; the largest that a phase writes, with the reports of an update, are a few megabytes."""


class ManifestValues(dict[str, Any]):
    """What a manifest says, by name; to ask for what it does not say is a StoreError that names the manifest."""

    where = ""

    def __missing__(self, name: str) -> Any:
        raise StoreError(
            f"{self.where or 'a manifest'} does not say {name!r}, which every such manifest of relift says: it was cut "
            f"or written by something else. Restore it from a copy, or remove it to have that phase made again."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Written last; until it exists, nobody may read what lies beside it.

    Example: inputs ``"9f86d0..."``, files one entry for ``rollouts.parquet``, counts ``{"rollouts": 512}``.
    """

    inputs: str
    """Digest of everything the artifact was made from (``digest``)."""
    files: tuple[FileEntry, ...] = ()
    counts: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that say what was done, e.g. the policy version that an update made."""

    def to_json(self) -> bytes:
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, folder: str) -> Manifest:
        """Raises StoreError when the bytes are no manifest of a format that this version knows.

        Also where it names a file that would not lie beside it.
        """
        where = f"{folder}/{MANIFEST}"
        require_small(len(content), where)
        try:
            tree = json.loads(content)
            made_by = tree.pop("format")
            if made_by > FORMAT:
                raise StoreError(
                    f"{where} has format {made_by}, this relift reads up to {FORMAT}: it was written by a newer "
                    f"version. Upgrade relift."
                )
            files = tuple(_entry(entry, where) for entry in tree.pop("files"))
            return cls(inputs=tree.pop("inputs"), files=files, **{name: _values(tree, name, where) for name in tree})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            if isinstance(problem, StoreError):
                raise
            raise StoreError(f"{where} is damaged ({problem}): remove the folder to have it made again") from problem


def require_small(size: int, where: str) -> None:
    """Raises StoreError for a manifest of so many bytes, before it is read or taken apart."""
    if size > MOST_BYTES:
        raise StoreError(
            f"{where} has {size / 2**20:,.0f} MiB, and no manifest of relift has more than {MOST_BYTES >> 20}: it was "
            f"written by something else. Remove it, or restore it from a copy."
        )


def _entry(tree: Mapping[str, Any], where: str) -> FileEntry:
    entry = FileEntry(**tree)
    checked(entry.name, where=where)
    if not isinstance(entry.sha256, str) or not isinstance(entry.bytes, int):
        raise ValueError(f"{entry.name} has no checksum and size")
    return entry


def _values(tree: Mapping[str, Any], name: str, where: str) -> ManifestValues:
    values = ManifestValues(tree[name].items())
    values.where = where
    return values


def digest(*parts: object) -> str:
    """SHA-256 in hex over the JSON of the parts; equal exactly when they are equal."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
