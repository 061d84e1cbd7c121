"""What a run asks of a store, and which store a URI means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from relift.interrupt import StopFlag
from relift.store.folder import Content, FolderStore
from relift.store.manifest import Manifest
from relift.store.uris import is_bucket, require_uri


class Store(Protocol):
    """A run's artifacts, each by its key (a folder that exists when its manifest does), and single files beside them.

    Whatever the store, ``root`` is a folder of this machine in which a run works: what is read lies there when the
    reading method returns, and what is written is kept elsewhere, if it is, when the writing method returns.
    """

    root: Path

    @property
    def uri(self) -> str: ...

    def acquire(self, stop: StopFlag) -> None:
        """Become the run's only writer, ``root`` holding what is stored or nothing that differs from it.

        ``stop`` is set, from any thread, when another writer takes over, and ends a long upload. Raises StoreError
        where the store cannot be used, RunError naming the holder where there is one.
        """

    def release(self) -> None:
        """Let another writer in; harmless when nothing was acquired."""

    def clear(self) -> None:
        """Remove the run, here and in the store; the caller has acquired it."""

    def manifest(self, key: str) -> Manifest | None: ...

    def manifest_sha256(self, key: str) -> str: ...

    def publish(
        self,
        key: str,
        files: Mapping[str, Content],
        *,
        inputs: str,
        counts: Mapping[str, float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Manifest: ...

    def read(self, key: str, name: str) -> bytes: ...

    def checked_path(self, key: str, name: str) -> Path: ...

    def bring(self, key: str) -> None:
        """Have every file of an artifact in ``root``."""

    def remove(self, *keys: str) -> None: ...

    def sweep(self, parent: str) -> None:
        """Remove what a crash left below ``parent``: artifacts that were half written or half removed."""

    def keys(self, parent: str) -> list[str]: ...

    def folders(self, parent: str) -> list[str]: ...

    def put_file(self, name: str) -> None:
        """Keep ``root / name``, which was written or changed, with the run; replaced whole."""

    def fetch_file(self, name: str) -> bool:
        """Have ``root / name`` there; False where the run holds no such file."""

    def remove_file(self, name: str) -> None: ...

    def read_file(self, name: str) -> bytes | None:
        """The stored bytes of a small file, without touching ``root``; None where there is none."""


def open_store(uri: str, cache: Path) -> Store:
    """The store of the run at a URI; ``cache`` is the folder to work in where that is not a folder itself.

    Raises StoreError for a URI that is neither (``require_uri``).
    """
    if is_bucket(uri):
        from relift.store.s3 import S3Store

        return S3Store(uri, cache)
    return FolderStore(Path(require_uri(uri)).expanduser())
