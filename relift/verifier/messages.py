"""How the verifier and its worker speak over pipes: length-prefixed JSON."""

from __future__ import annotations

import json
import struct
from typing import Any

HEADER = struct.Struct(">I")
MAX_BYTES = 1 << 20


def pack(message: dict[str, Any]) -> bytes:
    """ASCII-only, so that a lone surrogate in a completion travels like any other character."""
    body = json.dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Bytes that follow; ValueError where it cannot be one of ours."""
    (length,) = HEADER.unpack(header)
    if length > MAX_BYTES:
        raise ValueError(f"a message of {length} bytes")
    return int(length)


def unpack(body: bytes) -> dict[str, Any]:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    return message
