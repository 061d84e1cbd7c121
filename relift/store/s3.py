"""Artifacts in an S3 bucket, with a folder of this machine as working copy.

    publish:   files in the folder -> files in the bucket -> manifest in the bucket -> manifest in the folder

So a manifest in the folder says that the bucket holds the artifact, whenever the process died, and a manifest
in the bucket that its data is there. Forgetting goes the other way round, manifests first.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from relift.errors import RunError, StoreError
from relift.interrupt import StopFlag
from relift.store.bucket import Bucket, Checksums, Taken
from relift.store.folder import (
    WORKING_COPY,
    Content,
    FolderStore,
    explained,
    sha256_of,
    working_copy_of,
    write_atomically,
)
from relift.store.lease import TTL_SECONDS, Lease
from relift.store.manifest import MANIFEST, FileEntry, Manifest
from relift.store.names import checked, inside

log = logging.getLogger(__name__)
RUN_FILE = "run.json"
LEDGER = "hard_examples.duckdb"
BEGUN_WITH = (RUN_FILE, LEDGER)
"""Something is there when one of these is: a run by the first; a harvest, which has no other file, by the second."""
PROBE = "permission-check"
REPLACED_AT_MOST = 5
CONFLICTS_AT_MOST = 5
"""Writes of one object that meet another one under way, before it is an error."""
LAST_SECONDS = 3.0
"""For a single file, such as the ledger's snapshot, to leave once the run is asked to stop."""
OF_A_RUN = frozenset({"iterations", "checkpoints", "model", "report", "metrics.jsonl", LEDGER, "summary.json"})
"""What lies directly below a run, its lease left aside."""
TOMBSTONE = "removed.json"
"""There while a run is being removed."""
LOCK = "lock"


class S3Store:
    """The run at ``s3://bucket/prefix/run``; ``root`` is its working copy."""

    def __init__(self, uri: str, root: Path, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self.root = root
        self.bucket = Bucket(uri)
        self._lease = Lease(self.bucket, ttl_seconds=ttl_seconds)
        self._folder = FolderStore(root)
        self._stop = StopFlag()
        self._is_new = False
        """Whether what was acquired had not begun then."""

    @property
    def uri(self) -> str:
        return self.bucket.uri

    def acquire(self, stop: StopFlag) -> None:
        copy = self._own_copy()
        self.bucket.require_writing(f"{PROBE}-{uuid.uuid4().hex[:8]}")
        previous = self._lease.acquire(copy or uuid.uuid4().hex, stop.set)
        self._stop = stop
        try:
            self._is_new = not self._has_begun()
            # Whoever wrote last from this folder finds in it at least what the bucket holds; nobody else does.
            is_newest = copy is not None and previous is not None and previous.copy == copy
            if self._is_new or not is_newest:
                self._start_copy()
            self.bucket.abort_uploads()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        if not self._lease.is_held:
            return
        never_began = False
        with suppress(StoreError):
            never_began = self._is_new and not any(map(self.bucket.is_there, BEGUN_WITH))
        self._lease.release(forget=never_began)
        if never_began:
            self._empty_copy()

    def clear(self) -> None:
        """Whatever else lies below the URI stays."""
        self._lease.require()
        self.bucket.put(TOMBSTONE, b"{}\n")
        self.bucket.delete([RUN_FILE])
        self.bucket.delete([name for name in self.bucket.names() if name.partition("/")[0] in OF_A_RUN])
        self.bucket.delete([TOMBSTONE])
        self._is_new = True

    def manifest(self, key: str) -> Manifest | None:
        found = self._folder.manifest(key)
        if found is None:
            stored = self.bucket.get(f"{key}/{MANIFEST}")
            if stored is not None:
                found = Manifest.from_json(stored.content, self.bucket.where(key))
                self._folder.seal(key, found)
        return found

    def manifest_sha256(self, key: str) -> str:
        self.manifest(key)
        return self._folder.manifest_sha256(key)

    def publish(
        self,
        key: str,
        files: Mapping[str, Content],
        *,
        inputs: str,
        counts: Mapping[str, float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Raises StoreError where the bucket or the folder cannot be written, RunError where the lease was lost."""
        self._lease.require()
        entries = self._folder.write_files(key, files)
        manifest = Manifest(inputs=inputs, files=entries, counts=counts or {}, facts=facts or {})
        name = f"{key}/{MANIFEST}"
        if self._differs(name, manifest.to_json()):
            self.bucket.delete([name])
        for entry in entries:
            path = self.root / key / entry.name
            self.bucket.upload(f"{key}/{entry.name}", path, entry.sha256, self._stop.check)
        self._lease.require()
        self._put_new(name, manifest.to_json())
        self._folder.seal(key, manifest)
        return manifest

    def read(self, key: str, name: str) -> bytes:
        return self.checked_path(key, name).read_bytes()

    def checked_path(self, key: str, name: str) -> Path:
        """In the folder, downloaded where it is not there or damaged. Raises StoreError for a damaged object."""
        self.manifest(key)
        entry = self._folder.entry(key, name)
        path = self.root / key / name
        if not (path.is_file() and path.stat().st_size == entry.bytes and sha256_of(path) == entry.sha256):
            self._download(f"{key}/{name}", entry)
        return path

    def bring(self, key: str) -> None:
        manifest = self.manifest(key)
        for entry in manifest.files if manifest else ():
            self.checked_path(key, entry.name)

    def remove(self, *keys: str) -> None:
        self._lease.require()
        self._folder.remove(*keys)
        self.bucket.delete([f"{key}/{MANIFEST}" for key in keys])
        self.bucket.delete([name for key in keys for name in self.bucket.names(key)])

    def sweep(self, parent: str) -> None:
        self._lease.require()
        self._folder.sweep(parent)
        names = self.bucket.names(parent)
        whole = {name.removesuffix(MANIFEST) for name in names if name.endswith(f"/{MANIFEST}")}
        self.bucket.delete([name for name in names if f"{name.rpartition('/')[0]}/" not in whole])

    def keys(self, parent: str) -> list[str]:
        """Asked of the bucket: the folder may hold less."""
        names = (name for name in self.bucket.names(parent) if name.endswith(f"/{MANIFEST}"))
        keys = (name.removesuffix(f"/{MANIFEST}") for name in names)
        return sorted(key for key in keys if "/" not in key.removeprefix(f"{parent}/"))

    def folders(self, parent: str) -> list[str]:
        return sorted({name.rpartition("/")[0] for name in self.bucket.names(parent)})

    def put_file(self, name: str) -> None:
        self._lease.require()
        path = self.root / name
        self.bucket.upload(name, path, sha256_of(path), lambda: self._stop.check(after_seconds=LAST_SECONDS))

    def fetch_file(self, name: str) -> bool:
        return (self.root / name).is_file() or self._download(name, None)

    def remove_file(self, name: str) -> None:
        self._lease.require()
        self.bucket.delete([name])
        (self.root / name).unlink(missing_ok=True)

    def read_file(self, name: str) -> bytes | None:
        stored = self.bucket.get(name)
        return stored.content if stored else None

    def _put_new(self, name: str, content: bytes) -> None:
        """Raises RunError where something else was written there, StoreError where the server will not say."""
        for conflict in range(CONFLICTS_AT_MOST):
            try:
                self.bucket.put(name, content, only_new=True)
                return
            except Taken:  # also where another write of it was under way, whatever became of that one
                stored = self.bucket.get(name)
            if stored is not None and stored.content == content:
                return
            if stored is not None:
                raise RunError(
                    f"{self.bucket.where(name)} was written by somebody else meanwhile, who does not hold the lease of "
                    f"the run. Find out who writes there, then run the same command to go on."
                )
            time.sleep(0.1 * 2**conflict)
        raise StoreError(
            f"{self.bucket.where(name)} could not be written: {CONFLICTS_AT_MOST} times the server spoke of another "
            f"write of it, and holds none. Make sure that nobody else writes there, then run the same command to go on."
        )

    def _has_begun(self) -> bool:
        """Whether there is a run or a harvest; a removal that was cut short is finished.

        Raises StoreError for a half of a run.
        """
        if self.bucket.is_there(RUN_FILE):
            return True
        if self.bucket.is_there(TOMBSTONE):
            self.clear()
            return False
        if self.bucket.names("checkpoints") or self.bucket.names("iterations"):
            raise StoreError(
                f"{self.uri} holds recorded phases but no {RUN_FILE}, so it is no whole run. Restore that file, remove "
                f"what is there, or start under another name with --name."
            )
        return self.bucket.is_there(LEDGER)

    def _differs(self, name: str, content: bytes) -> bool:
        stored = self.bucket.get(name)
        return stored is not None and stored.content != content

    def _download(self, name: str, entry: FileEntry | None) -> bool:
        """Into the folder, whole and checked against the manifest or else the object's own metadata."""
        path = self.root / checked(name, where=self.bucket.uri)
        partial = inside(self.root, path.with_name(path.name + ".partial"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            checksums = self._downloaded(name, partial)
            if checksums is None:
                if entry is None:
                    return False
                raise StoreError(
                    f"{self.bucket.where(name)} is missing although its manifest names it: restore it, or start the "
                    f"run anew with --fresh."
                )
            expected = entry.sha256 if entry else checksums.uploaded
            if not expected:
                log.warning("%s was put there without a checksum, and is taken as it is", self.bucket.where(name))
            elif checksums.found != expected:
                partial.unlink()
                raise StoreError(
                    f"{self.bucket.where(name)} has the checksum {checksums.found[:12]}... where {expected[:12]}... "
                    f"was written: the object was changed or damaged. Restore it from a copy or an older version."
                )
            partial.replace(path)
        except OSError as problem:
            raise explained(problem, path.parent) from problem
        return True

    def _downloaded(self, name: str, path: Path) -> Checksums | None:
        for _ in range(REPLACED_AT_MOST):
            with suppress(Taken):  # a snapshot that its writer replaced meanwhile: the new one
                return self.bucket.download(name, path)
        raise StoreError(f"{self.bucket.where(name)} is replaced again and again while it is read: try again later.")

    def _own_copy(self) -> str | None:
        """Id of the working copy in the folder; None for an empty one. Raises RunError for anything else."""
        copy_of = working_copy_of(self.root)
        if copy_of == self.uri:
            return str(json.loads((self.root / WORKING_COPY).read_bytes())["copy"])
        others = [path.name for path in self.root.iterdir() if path.name != LOCK] if self.root.is_dir() else []
        if copy_of or others:
            what = f"the working copy of {copy_of}" if copy_of else f"something else ({', '.join(sorted(others)[:3])})"
            raise RunError(
                f"the run in {self.uri} would work in {self.root}, which holds {what}. Choose another folder with "
                f"--set scratch=FOLDER, or another name with --name, or move it away."
            )
        return None

    def _start_copy(self) -> None:
        """An empty folder but for the lock, marked as the working copy that the lease names."""
        self._empty_copy()
        marker = {"uri": self.uri, "copy": self._lease.copy}
        write_atomically(self.root / WORKING_COPY, (json.dumps(marker) + "\n").encode())

    def _empty_copy(self) -> None:
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
