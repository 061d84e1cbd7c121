"""An object of any size into a file, its checksum taken on the way.

Ranges arrive side by side and are hashed in order from the page cache, while later ones are still under way: hashing
after the transfer would cost a quarter of the rate on a fast line. Memory holds one chunk per connection.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
RANGE_BYTES = 32 << 20
CHUNK_BYTES = 128 << 10
"""Larger ones are mapped and unmapped one by one by the allocator, which costs more than the hash."""
CONNECTIONS = 8
ATTEMPTS = 6
"""Of a range whose stream breaks off; what fails before it streams is repeated by botocore itself."""


def fetch(client: Any, bucket: str, key: str, head: Any, path: Path) -> str:
    """Write the object that ``head`` (of head_object) describes; its SHA-256 in hex.

    Raises botocore's errors; PreconditionFailed when the object was replaced meanwhile.
    """
    size, etag = head["ContentLength"], head["ETag"]
    total = hashlib.sha256()
    with path.open("wb+", buffering=0) as file, ThreadPoolExecutor(CONNECTIONS, "download") as pool:
        descriptor = file.fileno()

        def get(start: int) -> tuple[int, int]:
            end = min(start + RANGE_BYTES, size)
            _range(client, {"Bucket": bucket, "Key": key, "IfMatch": etag}, descriptor, start, end)
            return start, end

        futures = [pool.submit(get, start) for start in range(0, size, RANGE_BYTES)]
        try:
            for future in futures:
                start, end = future.result()
                while chunk := os.pread(descriptor, min(CHUNK_BYTES, end - start), start):
                    total.update(chunk)
                    start += len(chunk)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return total.hexdigest()


def _range(client: Any, which: dict[str, str], descriptor: int, start: int, end: int) -> None:
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            with client.get_object(**which, Range=f"bytes={start}-{end - 1}")["Body"] as body:
                while chunk := body.read(CHUNK_BYTES):
                    start += os.pwrite(descriptor, chunk, start)
            return
        except (HTTPClientError, IncompleteReadError) as problem:
            if attempt == ATTEMPTS:
                raise
            log.info("a download broke off at byte %d and goes on: %s", start, problem)
            time.sleep(0.1 * 2**attempt)
