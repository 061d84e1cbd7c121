"""What may stand where a folder or a bucket is named: checked where it is given, before any work."""

from __future__ import annotations

import re

from relift.errors import StoreError

SCHEME = "s3://"


def is_bucket(uri: str) -> bool:
    return uri.startswith(SCHEME)


def require_uri(uri: str) -> str:
    """The URI without slashes at its end: of a folder as it is, of a bucket ``s3://bucket`` or ``s3://bucket/a/b``.

    S3 keeps the keys ``a//b`` and ``a/b`` apart, and servers that keep objects in folders do not: neither an empty part
    nor one that climbs is accepted, so that what is written under a URI is what is read there. Raises StoreError for
    such a one, for blanks and what cannot be printed, and for another scheme.
    """
    if not is_bucket(uri):
        _require_folder(uri)
        return uri
    bucket, *parts = uri.removeprefix(SCHEME).rstrip("/").split("/")
    if not bucket:
        raise StoreError(f"store={uri!r} names no bucket: give s3://bucket or s3://bucket/prefix.")
    strange = [part for part in parts if part in ("", ".", "..")]
    if strange or not uri.isprintable() or " " in uri or "\\" in uri:
        what = f"the part {strange[0]!r}" if strange else "a blank, a backslash or a character that cannot be printed"
        raise StoreError(
            f"store={uri!r} holds {what} and would not be the same on every S3 server: give s3://bucket/a/b, single "
            f"slashes between the parts."
        )
    return SCHEME + "/".join((bucket, *parts))


def _require_folder(uri: str) -> None:
    if re.match(r"s3:|[a-z][a-z0-9+.-]+:/", uri, re.IGNORECASE):
        raise StoreError(
            f"store={uri!r}: only folders and s3:// buckets can hold runs. Give a path such as 'runs', or "
            f"s3://bucket/prefix (for another S3 server than AWS, set AWS_ENDPOINT_URL_S3)."
        )
    if "\0" in uri or "\n" in uri:
        raise StoreError(f"store={uri!r} holds a character that no folder's name has: give a path such as 'runs'.")
