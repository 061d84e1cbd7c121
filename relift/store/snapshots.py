"""The published ledgers of all runs below a URI, as files of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from relift.store.bucket import Bucket
from relift.store.folder import sha256_of
from relift.store.interface import is_bucket, require_scheme
from relift.store.s3 import S3Store

CACHE = Path(".relift") / "snapshots"
SNAPSHOT = "hard_examples.duckdb"


def ledgers_folder(uri: str, cache: Path = CACHE) -> Path:
    """A folder with ``<run>/hard_examples.duckdb`` for each run; from a bucket, what has changed is fetched first.

    Raises StoreError where the store cannot be read.
    """
    if not is_bucket(uri):
        require_scheme(uri)
        return Path(uri).expanduser()
    bucket = Bucket(uri)
    folder = cache / bucket.uri.removeprefix("s3://")
    runs = set(bucket.folders())
    for run in sorted(runs):
        _refresh(S3Store(f"{bucket.uri}/{run}", folder / run))
    for gone in folder.iterdir() if folder.is_dir() else ():
        if gone.is_dir() and gone.name not in runs:
            shutil.rmtree(gone)
    return folder


def _refresh(store: S3Store) -> None:
    path = store.root / SNAPSHOT
    if path.exists() and store.bucket.uploaded_checksum(SNAPSHOT) != sha256_of(path):
        path.unlink()
    store.fetch_file(SNAPSHOT)
