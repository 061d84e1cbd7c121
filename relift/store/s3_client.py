"""The client of S3: its patience, its transfers, and what may interrupt them.

Endpoint, credentials and region come the standard AWS way: AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_PROFILE, ...
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from relift.errors import ReliftError

TRANSFER = {"multipart_threshold": 64 << 20, "multipart_chunksize": 64 << 20, "max_concurrency": 8}
"""Parts are read from and written to the file as they go, so memory holds buffers and never a part."""


def make_client(*, patient: bool) -> Any:
    """The impatient one is for the first question, so that a wrong endpoint is said soon."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "adaptive", "max_attempts": 8} if patient else {"mode": "standard", "max_attempts": 2},
        connect_timeout=10 if patient else 5,
        read_timeout=60 if patient else 20,
        max_pool_connections=2 * TRANSFER["max_concurrency"],
        s3={"addressing_style": "path"},
    )
    client = boto3.Session().client("s3", config=config)
    client.meta.events.register_first("needs-retry.s3", _raise_what_ended_it)
    return client


def until_it_raises(check: Callable[[], None]) -> Callable[[int], None]:
    """A progress callback. boto3 calls it once more while it closes the file, which has to succeed."""
    has_raised = threading.Event()

    def progress(sent_bytes: int) -> None:
        if not has_raised.is_set():
            try:
                check()
            except ReliftError:
                has_raised.set()
                raise

    return progress


def _raise_what_ended_it(caught_exception: Exception | None, **others: object) -> None:
    """What a callback raises while bytes leave comes back as a fault of the line, and would be tried again."""
    cause = getattr(caught_exception, "kwargs", {}).get("error")
    if isinstance(cause, ReliftError):
        raise cause


def transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(**TRANSFER)
