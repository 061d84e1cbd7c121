"""How the verifier and its workers speak over pipes: length-prefixed JSON."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

HEADER = struct.Struct(">I")
MAX_BYTES = 1 << 24
"""JSON spends up to twelve bytes on a character: a completion of a million fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is started for, e.g. task ``"callable"``, function ``"my_answers:is_same"``."""

    task: Literal["math", "number", "callable", "reward"] = "math"
    tolerance: str = "0"
    """number: relative, as a decimal or a fraction, so that it arrives exactly."""
    function: str = ""
    """callable, reward: ``package.module:function``."""
    settings: dict[str, Any] = field(default_factory=dict)
    """reward: the function's own."""
    sha256: str = ""
    """reward: of the function's source; with another it gives none. "" takes any."""
    cpu_seconds: int = 10
    """Of processor time for one item: the kernel ends the worker where the caller could not, being stopped or gone."""
    memory_bytes: int = 2 << 30
    """Of address space."""

    @property
    def product(self) -> str:
        """What comes of an item, for messages."""
        return "reward" if self.task == "reward" else "verdict"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        return Job(**json.loads(text))


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


def take(received: bytearray) -> dict[str, Any] | None:
    """The first whole message, removed from what has been received; None where more has to come."""
    if len(received) < HEADER.size:
        return None
    end = HEADER.size + body_length(bytes(received[: HEADER.size]))
    if len(received) < end:
        return None
    body = bytes(received[HEADER.size : end])
    del received[:end]
    return unpack(body)
