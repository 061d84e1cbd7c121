"""The published ledgers of all runs below a URI, as files of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from relift.errors import StoreError
from relift.store.bucket import Bucket, Taken
from relift.store.folder import sha256_of
from relift.store.s3 import S3Store
from relift.store.uris import is_bucket, require_uri

CACHE = Path(".relift") / "snapshots"
SNAPSHOT = "hard_examples.duckdb"


def ledgers_folder(uri: str, cache: Path = CACHE) -> Path:
    """A folder with ``<run>/hard_examples.duckdb`` for each run; from a bucket, what has changed is fetched first.

    Raises StoreError where the store cannot be read.
    """
    if not is_bucket(uri):
        return Path(require_uri(uri)).expanduser()
    bucket = Bucket(uri)
    folder = cache / bucket.uri.removeprefix("s3://")
    refresh_runs(bucket, folder)
    return folder


def refresh_runs(bucket: Bucket, folder: Path, *, called: str = "") -> None:
    """Make the folder hold ``<run>/hard_examples.duckdb`` for each run below the bucket's prefix, and no other run.

    Of the runs whose names start with ``called``, if it is given; the others are left as they are.
    """
    runs = {name for name in bucket.folders() if _is_run(name, called)}
    for run in sorted(runs):
        _refresh(S3Store(f"{bucket.uri}/{run}", folder / run))
    for gone in folder.iterdir() if folder.is_dir() else ():
        if gone.is_dir() and _is_run(gone.name, called) and gone.name not in runs:
            shutil.rmtree(gone)


def _is_run(name: str, called: str) -> bool:
    return not name.startswith(".") and name.startswith(called)


def fetch_object(bucket: Bucket, name: str, path: Path) -> None:
    """Have an object of the bucket at ``path``, downloaded where the file there is another.

    Raises StoreError where there is none, where it was damaged on the way, or where it cannot be read.
    """
    etag_file = path.with_name(path.name + ".etag")
    etag = bucket.etag(name)
    if etag is None:
        raise StoreError(f"{bucket.where(name)} does not exist. Check the URI: what it names is read, not written.")
    if path.is_file() and etag_file.is_file() and etag_file.read_text() == etag:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)  # whatever lies there, a link above all
    try:
        found = bucket.download(name, partial)
    except Taken:
        found = None
    if found is None or (found.uploaded and found.uploaded != found.found):
        partial.unlink(missing_ok=True)
        raise StoreError(f"{bucket.where(name)} changed or was damaged while it was read. Run the command again.")
    partial.replace(path)
    etag_file.write_text(etag)


def upload_files(uri: str, paths: Sequence[Path]) -> None:
    """Write files below a bucket's prefix, in order, each with its checksum. Raises StoreError."""
    bucket = Bucket(uri)
    for path in paths:
        bucket.upload(path.name, path, sha256_of(path))


def _refresh(store: S3Store) -> None:
    path = store.root / SNAPSHOT
    if path.exists() and store.bucket.uploaded_checksum(SNAPSHOT) != sha256_of(path):
        path.unlink()
    store.fetch_file(SNAPSHOT)
