"""Artifacts in a folder of this machine."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from relift.errors import RunError, StoreError
from relift.interrupt import StopFlag
from relift.store.manifest import MANIFEST, FileEntry, Manifest, require_small
from relift.store.names import inside

WORKING_COPY = "working_copy.json"
"""In a folder that another store's run works in: whose, and an id that the lease names."""
Content = bytes | Callable[[Path], None]
"""The bytes of a file, or what writes it to the path it is given (for files too large to hold in memory)."""


class FolderStore:
    """Artifacts by key (a relative folder) under a root. One exists when its manifest does."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def uri(self) -> str:
        return str(self.root)

    def acquire(self, stop: StopFlag) -> None:
        """The run's lock keeps a folder's writers apart. Raises RunError for the working copy of another store."""
        copy_of = working_copy_of(self.root)
        if copy_of:
            raise RunError(
                f"{self.root} is the working copy of the run in {copy_of}: go on with `relift resume {copy_of}`, or "
                f"start under another name with --name."
            )

    def release(self) -> None:
        """Nothing to let go."""

    def clear(self) -> None:
        """Nothing lies elsewhere."""

    def put_file(self, name: str) -> None:
        """A file beside the artifacts is where it belongs already."""

    def fetch_file(self, name: str) -> bool:
        return (self.root / name).is_file()

    def read_file(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.is_file() else None

    def remove_file(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        return self.root / key

    def manifest(self, key: str) -> Manifest | None:
        """None where the artifact was never finished."""
        path = self.path(key) / MANIFEST
        try:
            require_small(path.stat().st_size, str(path))
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        return Manifest.from_json(content, str(self.path(key)))

    def manifest_sha256(self, key: str) -> str:
        return hashlib.sha256((self.path(key) / MANIFEST).read_bytes()).hexdigest()

    def publish(
        self,
        key: str,
        files: Mapping[str, Content],
        *,
        inputs: str,
        counts: Mapping[str, float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Write the files whole, then the manifest; an artifact that was half written before is written anew.

        Raises StoreError when the disk is full or the folder cannot be written.
        """
        entries = self.write_files(key, files)
        manifest = Manifest(inputs=inputs, files=entries, counts=counts or {}, facts=facts or {})
        self.seal(key, manifest)
        return manifest

    def write_files(self, key: str, files: Mapping[str, Content]) -> tuple[FileEntry, ...]:
        """The data of an artifact, without its manifest."""
        folder = inside(self.root, self.path(key))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MANIFEST).unlink(missing_ok=True)  # while files change, the artifact is not whole
            return tuple(self._write(folder / name, content) for name, content in files.items())
        except OSError as problem:
            raise explained(problem, folder) from problem

    def seal(self, key: str, manifest: Manifest) -> None:
        """Make an artifact visible."""
        folder = inside(self.root, self.path(key))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write(folder / MANIFEST, manifest.to_json())
        except OSError as problem:
            raise explained(problem, folder) from problem

    def read(self, key: str, name: str) -> bytes:
        """The bytes of a finished file, its size and checksum compared with the manifest."""
        content = self.checked_path(key, name, verify=False).read_bytes()
        entry = self.entry(key, name)
        if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise corrupt(self.path(key) / name, entry)
        return content

    def checked_path(self, key: str, name: str, *, verify: bool = True) -> Path:
        """Path of a finished file on this machine, for readers that map it; its checksum compared where ``verify``."""
        entry = self.entry(key, name)
        path = self.path(key) / name
        if not path.is_file():
            raise StoreError(f"{path} is missing although its manifest names it: restore it, or remove {path.parent}")
        if verify and sha256_of(path) != entry.sha256:
            raise corrupt(path, entry)
        return path

    def bring(self, key: str) -> None:
        """All of it is on this machine."""

    def remove(self, *keys: str) -> None:
        """Forget artifacts: the manifest goes first, so that no reader meets a half-removed one."""
        for folder in map(self.path, keys):
            (folder / MANIFEST).unlink(missing_ok=True)
            if folder.exists():
                shutil.rmtree(folder)
            if folder.parent != self.root:
                with suppress(OSError):  # not empty: other phases of the iteration are kept
                    folder.parent.rmdir()

    def sweep(self, parent: str) -> None:
        """Remove what a crash left below ``parent``: artifacts that were half written or half removed."""
        folder = self.path(parent)
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            if child.is_dir() and not (child / MANIFEST).is_file():
                shutil.rmtree(child)

    def keys(self, parent: str) -> list[str]:
        """Keys of the finished artifacts directly below ``parent``, sorted by name."""
        folder = self.path(parent)
        if not folder.is_dir():
            return []
        return sorted(f"{parent}/{child.name}" for child in folder.iterdir() if (child / MANIFEST).is_file())

    def folders(self, parent: str) -> list[str]:
        """Folders at any depth below ``parent`` that hold files, finished or not, sorted."""
        found = {path.parent for path in self.path(parent).rglob("*") if path.is_file()}
        return sorted(folder.relative_to(self.root).as_posix() for folder in found)

    def entry(self, key: str, name: str) -> FileEntry:
        """What the manifest says of a file. Raises StoreError where the artifact or the file was never finished."""
        manifest = self.manifest(key)
        if manifest is None:
            raise StoreError(f"{self.path(key)} was never finished: it has no {MANIFEST}")
        for entry in manifest.files:
            if entry.name == name:
                return entry
        raise StoreError(f"{self.path(key)} holds no {name}: its manifest names {[e.name for e in manifest.files]}")

    def _write(self, path: Path, content: Content) -> FileEntry:
        partial = inside(self.root, path.with_name(path.name + ".partial"))
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


def working_copy_of(root: Path) -> str | None:
    """URI of the run that a folder is the working copy of; None for a folder of its own."""
    try:
        uri = json.loads((root / WORKING_COPY).read_bytes())["uri"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as problem:
        raise StoreError(
            f"{root / WORKING_COPY} is damaged ({problem}): remove {root} and resume from the run's URI"
        ) from problem
    return str(uri)


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


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def corrupt(path: Path, entry: FileEntry) -> StoreError:
    return StoreError(
        f"{path} does not have the checksum of its manifest ({entry.sha256[:12]}...): the file was changed or damaged. "
        f"Restore it from a copy, or remove {path.parent} to have it made again."
    )


def explained(problem: OSError, folder: Path) -> StoreError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"no space left for {folder} ({problem.strerror}). What was finished is kept: free some space and run the "
            f"same command to go on."
        )
    return StoreError(f"{folder} cannot be written ({problem.strerror}): check its permissions or set store elsewhere")
