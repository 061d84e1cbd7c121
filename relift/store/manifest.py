"""What makes an artifact whole: the names, sizes and checksums of its files, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from relift.errors import StoreError

MANIFEST = "manifest.json"
FORMAT = 1


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
    def from_json(cls, content: bytes, place: str) -> Manifest:
        """Raises StoreError when the bytes are no manifest of a format that this version knows."""
        try:
            tree = json.loads(content)
            made_by = tree.pop("format")
            if made_by > FORMAT:
                raise StoreError(
                    f"{place}/{MANIFEST} has format {made_by}, this relift reads up to {FORMAT}: it was written by a "
                    f"newer version. Upgrade relift."
                )
            return cls(**{**tree, "files": tuple(FileEntry(**entry) for entry in tree["files"])})
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            if isinstance(problem, StoreError):
                raise
            raise StoreError(
                f"{place}/{MANIFEST} is damaged ({problem}): remove the folder to have it made again"
            ) from problem


def digest(*parts: object) -> str:
    """SHA-256 in hex over the JSON of the parts; equal exactly when they are equal."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
