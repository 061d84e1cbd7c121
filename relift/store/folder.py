"""Artifacts in a folder of this machine."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from relift.errors import StoreError
from relift.store.manifest import MANIFEST, FileEntry, Manifest

Content = bytes | Callable[[Path], None]
"""The bytes of a file, or what writes it to the path it is given (for files too large to hold in memory)."""


def open_store(uri: str) -> FolderStore:
    """The store behind a URI: today a folder. Raises StoreError for a scheme that is not supported."""
    if "://" in uri:
        raise StoreError(f"store={uri!r}: only folders are supported. Give a path such as 'runs'.")
    return FolderStore(Path(uri))


class FolderStore:
    """Places (relative folders) under a root. A place exists when its manifest does."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, place: str) -> Path:
        return self.root / place

    def manifest(self, place: str) -> Manifest | None:
        """None where the place was never finished."""
        try:
            content = (self.path(place) / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None
        return Manifest.from_json(content, str(self.path(place)))

    def manifest_sha256(self, place: str) -> str:
        return hashlib.sha256((self.path(place) / MANIFEST).read_bytes()).hexdigest()

    def publish(
        self,
        place: str,
        files: Mapping[str, Content],
        *,
        inputs: str,
        counts: Mapping[str, float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Write the files whole, then the manifest; a place that was half written before is written anew.

        Raises StoreError when the disk is full or the folder cannot be written.
        """
        folder = self.path(place)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            entries = tuple(self._write(folder / name, content) for name, content in files.items())
            manifest = Manifest(inputs=inputs, files=entries, counts=counts or {}, facts=facts or {})
            self._write(folder / MANIFEST, manifest.to_json())
        except OSError as problem:
            raise _explained(problem, folder) from problem
        return manifest

    def read(self, place: str, name: str) -> bytes:
        """The bytes of a finished file, its size and checksum compared with the manifest."""
        content = self.checked_path(place, name, verify=False).read_bytes()
        entry = self._entry(place, name)
        if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise _corrupt(self.path(place) / name, entry)
        return content

    def checked_path(self, place: str, name: str, *, verify: bool = True) -> Path:
        """Path of a finished file on this machine, for readers that map it; checksum compared unless told not to."""
        entry = self._entry(place, name)
        path = self.path(place) / name
        if not path.is_file():
            raise StoreError(f"{path} is missing although its manifest names it: restore it, or remove {path.parent}")
        if verify and _sha256(path) != entry.sha256:
            raise _corrupt(path, entry)
        return path

    def remove(self, place: str) -> None:
        """Forget a place: the manifest goes first, so that no reader meets a half-removed one."""
        folder = self.path(place)
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def places(self, parent: str) -> list[str]:
        """Finished places directly below ``parent``, sorted by name."""
        folder = self.path(parent)
        if not folder.is_dir():
            return []
        return sorted(f"{parent}/{child.name}" for child in folder.iterdir() if (child / MANIFEST).is_file())

    def _entry(self, place: str, name: str) -> FileEntry:
        manifest = self.manifest(place)
        if manifest is None:
            raise StoreError(f"{self.path(place)} was never finished: it has no {MANIFEST}")
        for entry in manifest.files:
            if entry.name == name:
                return entry
        raise StoreError(f"{self.path(place)} holds no {name}: its manifest names {[e.name for e in manifest.files]}")

    def _write(self, path: Path, content: Content) -> FileEntry:
        partial = path.with_name(path.name + ".partial")
        if isinstance(content, bytes):
            partial.write_bytes(content)
        else:
            content(partial)
        with partial.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        size = partial.stat().st_size
        partial.replace(path)
        return FileEntry(name=path.name, bytes=size, sha256=checksum)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file whole; a reader sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def require_space(root: Path, needed_bytes: int) -> None:
    """Raises StoreError when the file system below ``root`` has less than that free."""
    existing = next(p for p in (root, *root.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise StoreError(
            f"{root} has {free / 2**30:.2f} GiB free, the run needs about {needed_bytes / 2**30:.2f} GiB for "
            f"rollouts and checkpoints. Free some space, set store to another folder, or lower checkpoint.keep."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _corrupt(path: Path, entry: FileEntry) -> StoreError:
    return StoreError(
        f"{path} does not have the checksum of its manifest ({entry.sha256[:12]}...): the file was changed or damaged. "
        f"Restore it from a copy, or remove {path.parent} to have it made again."
    )


def _explained(problem: OSError, folder: Path) -> StoreError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"no space left for {folder} ({problem.strerror}). What was finished is kept: free some space and run the "
            f"same command to go on."
        )
    return StoreError(f"{folder} cannot be written ({problem.strerror}): check its permissions or set store elsewhere")
