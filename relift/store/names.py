"""Names of files and objects that a store holds: whoever can write there can make them up."""

from __future__ import annotations

import re
from pathlib import Path

from relift.errors import StoreError

MOST_BYTES = 1024
"""Of a name, as S3 has it."""
MOST_BYTES_OF_A_PART = 255
"""As file systems have it."""
_DRIVE = re.compile(r"[A-Za-z]:")


def checked(name: object, *, where: str) -> str:
    """``name`` itself: relative, with slashes between parts, and below whatever folder it is put in.

    ``where`` is the object or the file that says the name, such as a manifest, or the bucket that lists it. Raises
    StoreError for any other name: nothing may be read or written under it.
    """
    fault = _fault(name)
    if fault is None:
        assert isinstance(name, str)
        return name
    raise StoreError(
        f"{where} names {_shown(name)}, which {fault}: relift writes no such name, so that store was written by "
        f"something else. Nothing was read or written under that name. Find out who writes there, and remove or "
        f"correct it."
    )


def inside(root: Path, path: Path) -> Path:
    """``path`` itself, where writing to it stays below ``root``, symbolic links followed. Raises StoreError."""
    target, top = path.resolve(), root.resolve()
    if target == top or top in target.parents:
        return path
    raise StoreError(
        f"{path} leads out of {root}, to {target}, by a symbolic link: relift makes none, so that folder was written "
        f"by something else. Nothing was written. Remove the link, or make {root} itself the link."
    )


def _fault(name: object) -> str | None:
    """What is wrong with a name, as the end of a sentence; None for a good one."""
    if not isinstance(name, str):
        return "is no text"
    parts = name.split("/")
    faults = {
        "is absolute or has an empty part": "" in parts,
        "climbs out of its folder": not {".", ".."}.isdisjoint(parts),
        "holds a backslash or a drive": "\\" in name or _DRIVE.match(name),
        # Control characters, NUL, lone surrogates, marks that turn the direction of writing.
        "holds characters that cannot be printed": not name.isprintable(),
        "is too long for a file": len(name.encode("utf-8", "replace")) > MOST_BYTES
        or any(len(part.encode("utf-8", "replace")) > MOST_BYTES_OF_A_PART for part in parts),
    }
    return next((what for what, is_so in faults.items() if is_so), None)


def _shown(name: object) -> str:
    text = ascii(name)
    return text if len(text) <= 200 else f"{text[:200]}..."
