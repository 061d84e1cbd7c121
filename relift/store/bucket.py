"""Objects below one prefix of an S3 bucket: the only file that asks S3 for anything."""

from __future__ import annotations

import functools
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from relift.errors import ReliftError, StoreError
from relift.store.names import checked
from relift.store.ranges import fetch
from relift.store.refusals import explained, uploads_cause
from relift.store.s3_client import make_client, transfer, until_it_raises
from relift.store.uris import SCHEME, require_uri

DELETED_AT_ONCE = 1000
"""S3's own limit."""
_CHECKSUM = "sha256"
"""Metadata of an object that no manifest lists."""
MOST_BYTES_AT_ONCE = 64 << 20
"""Of an object that is read into memory, such as a manifest or an answer of a teacher."""


class Taken(Exception):
    """A conditional write was refused: somebody else wrote the object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """A small object, e.g. etag ``'"9bb5..."'``, age 12.0 by the server's own clock."""

    content: bytes
    etag: str
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksums:
    """SHA-256 of a download, and the one it was uploaded with; empty where somebody else uploaded it."""

    found: str
    uploaded: str


class Bucket:
    """What lies below ``s3://bucket/prefix``; names are relative to the prefix. May be used from any thread.

    Names that the bucket lists are checked: another writer may have made them up.
    """

    def __init__(self, uri: str) -> None:
        """Raises StoreError for a URI that could not be kept apart from another (``require_uri``)."""
        self.uri = require_uri(uri)
        self.bucket, _, self.prefix = self.uri.removeprefix(SCHEME).partition("/")

    def where(self, name: str) -> str:
        return f"{self.uri}/{name}".rstrip("/")

    def get(self, name: str) -> Object | None:
        """None where there is no such object. Raises StoreError for one too large to be what is read this way."""
        with self._explained("s3:GetObject", name, absent=True) as outcome:
            found = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            with found["Body"] as body:
                self._require_small(name, found["ContentLength"])
                content = body.read()
        if outcome.is_absent:
            return None
        headers = found["ResponseMetadata"]["HTTPHeaders"]
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        age = (now - found["LastModified"]).total_seconds()
        return Object(content=content, etag=found["ETag"], age_seconds=age)

    def put(self, name: str, content: bytes, *, only_new: bool = False, replacing: str | None = None) -> str:
        """Write a small object; its etag.

        Raises Taken where it is there already (``only_new``) or is no longer the one with that etag (``replacing``).
        """
        condition = {"IfNoneMatch": "*"} if only_new else {"IfMatch": replacing} if replacing else {}
        with self._explained("s3:PutObject", name):
            written = self._client.put_object(
                Bucket=self.bucket, Key=self._key(name), Body=content, ContentType=_type_of(name), **condition
            )
        etag: str = written["ETag"]
        return etag

    def upload(self, name: str, path: Path, sha256: str, check: Callable[[], None] = lambda: None) -> None:
        """Write a file of any size, with its checksum beside it; it appears whole.

        ``check`` is called before, and from other threads while bytes leave; the ReliftError it raises ends the upload.
        """
        check()
        arguments = {"Metadata": {_CHECKSUM: sha256}, "ContentType": _type_of(name)}
        with self._explained("s3:PutObject", name):
            self._client.upload_file(
                str(path),
                self.bucket,
                self._key(name),
                ExtraArgs=arguments,
                Callback=until_it_raises(check),
                Config=transfer(),
            )

    def download(self, name: str, path: Path) -> Checksums | None:
        """Write an object of any size to a path; None where it is absent.

        Raises Taken when it was replaced meanwhile.
        """
        with self._explained("s3:GetObject", name, absent=True) as outcome:
            head = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
            found = fetch(self._client, self.bucket, self._key(name), head, path)
        if outcome.is_absent:
            return None
        return Checksums(found=found, uploaded=head["Metadata"].get(_CHECKSUM, ""))

    def uploaded_checksum(self, name: str) -> str | None:
        """Of an object that ``upload`` wrote; None where it is absent."""
        with self._explained("s3:GetObject", name, absent=True) as outcome:
            head = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
        return None if outcome.is_absent else head["Metadata"].get(_CHECKSUM, "")

    def etag(self, name: str) -> str | None:
        """Changes whenever the object does; None where it is absent."""
        with self._explained("s3:GetObject", name, absent=True) as outcome:
            head = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
        return None if outcome.is_absent else str(head["ETag"])

    def is_there(self, name: str) -> bool:
        with self._explained("s3:GetObject", name, absent=True) as outcome:
            self._client.head_object(Bucket=self.bucket, Key=self._key(name))
        return not outcome.is_absent

    def names(self, folder: str = "") -> list[str]:
        """Of all objects below a folder, at any depth."""
        below = self._key(f"{folder}/" if folder else "")
        with self._explained("s3:ListBucket", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=below)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        # A key that ends with a slash is no object of ours: consoles make it to show an empty folder.
        names = (key.removeprefix(self._key("")) for key in keys if not key.endswith("/"))
        return [checked(name, where=f"the listing of {self.uri}") for name in names]

    def folders(self) -> list[str]:
        """Names of the folders directly below the prefix."""
        with self._explained("s3:ListBucket", ""):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._key(""), Delimiter="/"
            )
            found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())]
        names = (prefix.removeprefix(self._key("")).removesuffix("/") for prefix in found)
        return [checked(name, where=f"the listing of {self.uri}") for name in names]

    def delete(self, names: Sequence[str]) -> None:
        """Those that are not there are passed over."""
        for start in range(0, len(names), DELETED_AT_ONCE):
            some = names[start : start + DELETED_AT_ONCE]
            objects = [{"Key": self._key(name)} for name in some]
            with self._explained("s3:DeleteObject", some[0]):
                done = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
            for refused in done.get("Errors", ()):
                name = refused["Key"].removeprefix(self._key(""))
                raise StoreError(
                    f"{self.where(name)} could not be deleted ({refused['Code']}): allow s3:DeleteObject on it."
                )

    def abort_uploads(self) -> None:
        """Give back the space of uploads that a killed writer left half done; not being allowed to is no fault."""
        try:
            with self._explained("s3:ListBucketMultipartUploads", ""):
                found = self._client.list_multipart_uploads(Bucket=self.bucket, Prefix=self._key(""))
                for upload in found.get("Uploads", ()):
                    self._client.abort_multipart_upload(
                        Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
        except StoreError:
            return

    def require_writing(self, name: str) -> None:
        """Write, read and delete one small object. Raises StoreError naming the action that is refused.

        Also where the server overwrites what it was asked to write only if new, or only over another object: two
        writers could not be kept apart.
        """
        try:
            self.put(name, b"1")
            self._require_refusal("If-None-Match", name, only_new=True)
            self._require_refusal("If-Match", name, replacing='"0"')
            self.get(name)
        except BaseException:
            with suppress(StoreError):
                self.delete([name])
            raise
        self.delete([name])

    def _require_refusal(self, header: str, name: str, *, only_new: bool = False, replacing: str | None = None) -> None:
        try:
            self.put(name, b"2", only_new=only_new, replacing=replacing)
        except Taken:
            return
        raise StoreError(
            f"the server of {self.uri} does not honour {header}, so two trainers on one run could not be kept apart. "
            f"Use an S3 server with conditional writes, such as AWS, MinIO, Ceph or SeaweedFS."
        )

    @functools.cached_property
    def _client(self) -> Any:
        """Asked for the first time it looks whether endpoint, credentials, bucket and the right to list are there."""
        with self._explained("s3:ListBucket", ""):
            make_client(patient=False).list_objects_v2(Bucket=self.bucket, Prefix=self._key(""), MaxKeys=1)
            return make_client(patient=True)

    def _require_small(self, name: str, size: int) -> None:
        if size > MOST_BYTES_AT_ONCE:
            raise StoreError(
                f"{self.where(name)} has {size / 2**20:,.0f} MiB, and what relift writes under that name has at most "
                f"{MOST_BYTES_AT_ONCE >> 20}: it was written by something else. Remove it, or restore it from a copy."
            )

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @contextmanager
    def _explained(self, action: str, name: str, *, absent: bool = False) -> Iterator[_Outcome]:
        """What botocore raises, as a StoreError; with ``absent``, an object that is not there is no error."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        outcome = _Outcome()
        try:
            yield outcome
        except (BotoCoreError, Boto3Error, ClientError, ValueError) as problem:
            if isinstance(problem, ReliftError):
                raise
            cause = uploads_cause(problem)
            code = cause.response["Error"]["Code"] if isinstance(cause, ClientError) else ""
            if absent and code in ("NoSuchKey", "404"):
                outcome.is_absent = True
                return
            if code in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise Taken(name) from problem
            raise explained(cause, action=action, bucket=self.bucket, where=self.where(name)) from problem


class _Outcome:
    is_absent = False


def _type_of(name: str) -> str:
    """So that a browser shows a report that is read from the bucket."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
