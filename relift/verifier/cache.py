"""Decisions that cost a worker some time, kept for the next time the same answer is given."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version

from relift.records import Status
from relift.verifier.equivalence import Decision, Undecided

MAX_ENTRIES = 20_000
"""About 4 MB: an entry is a digest, however long its texts are."""
_PACKAGES = ("relift", "math-verify", "latex2sympy2_extended", "sympy")
MOST_SHARED = 100
_PASSING = (Status.TIMEOUT, Status.ERROR)


class DecisionCache:
    """By (gold, normalised answer, version of the verifier); the least recently used go first. For any thread.

    A timeout and an error are never kept: they may come of a busy machine.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, Decision] = OrderedDict()
        self._shared: dict[Decision, Decision] = {}
        """Most decisions are one of a few; each of those is held once."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, pair: Undecided) -> Decision | None:
        with self._lock:
            key = _key(pair)
            if found := self._entries.get(key):
                self._entries.move_to_end(key)
            return found

    def put(self, pair: Undecided, decision: Decision) -> None:
        if decision.status in _PASSING:
            return
        with self._lock:
            if len(self._shared) < MOST_SHARED:
                decision = self._shared.setdefault(decision, decision)
            self._entries[_key(pair)] = decision
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)


@lru_cache(maxsize=1)
def verifier_version() -> str:
    """What a verdict depends on, e.g. ``"relift 0.1.0, math-verify 0.9.0, ..."``; others may decide otherwise."""
    return ", ".join(f"{package} {_version(package)}" for package in _PACKAGES)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _key(pair: Undecided) -> bytes:
    text = f"{len(pair.gold)} {pair.gold}{pair.answer}{verifier_version()}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
