"""All randomness of a run, as a function of what it is for (contract 4).

Nothing ever reads or seeds a global generator, so no generator state needs saving, and leaving out a recorded phase
changes nothing after it.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.random import Generator, Philox


def key(seed: int, *parts: str | int) -> int:
    """128-bit key of a stream of draws, e.g. ``key(0, 7, "train", question_id, 3)``."""
    text = "\0".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def generator(seed: int, *parts: str | int) -> Generator:
    """A counter-based generator of its own for that key."""
    return Generator(Philox(key=key(seed, *parts)))


def uniforms(seed: int, *parts: str | int, count: int) -> np.ndarray:
    """(count,) float64 draws in [0, 1): draw t belongs to token t, whatever else is sampled beside it."""
    return generator(seed, *parts).random(count)
