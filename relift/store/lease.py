"""One writer per run across machines: a small object that says who writes, renewed while it does (contract 10)."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relift.errors import ReliftError, RunError, StoreError
from relift.store.bucket import Bucket, Object, Taken

log = logging.getLogger(__name__)
LEASE = "lease.json"
TTL_SECONDS = 60.0
"""How long a lease holds without being renewed; it is renewed three times as often."""
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who writes a run, e.g. host ``"gpu-7"``, pid 4711, since ``"2026-01-31T12:00:00+00:00"``."""

    host: str
    pid: int
    pids_of: str
    """Where that pid means that process: this start of the machine, this container; empty where it cannot be told."""
    session: str
    copy: str
    """Id of the working copy that it writes from."""
    since: str
    expires: str
    """By the holder's clock; whether it has expired is judged by the server's."""
    ttl_seconds: float
    is_released: bool = False

    @property
    def is_dead(self) -> bool:
        """Known to be gone, since it ran here; a process elsewhere may always live."""
        if not self.pids_of or self.pids_of != _pids_of():
            return False
        return not Path(f"/proc/{self.pid}").exists()

    def to_json(self) -> bytes:
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n").encode()


class Lease:
    """Held from ``acquire`` to ``release``; whoever lost it may not write any more."""

    def __init__(self, bucket: Bucket, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self.bucket = bucket
        self.ttl_seconds = ttl_seconds
        self._holder: Holder | None = None
        self._etag = ""
        self._renewed = 0.0
        self._lost: RunError | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, copy: str, on_lost: Callable[[ReliftError], None]) -> Holder | None:
        """Take the lease and keep renewing it; who held it before.

        ``on_lost`` is called from the renewing thread when another writer took it over. Raises RunError naming the
        holder where it is held.
        """
        found = self.bucket.get(LEASE)
        previous = self._holder_in(found) if found else None
        if found and previous and self._is_held(previous, found):
            raise self._held(previous, found)
        mine = Holder(
            host=socket.gethostname(),
            pid=os.getpid(),
            pids_of=_pids_of(),
            session=uuid.uuid4().hex,
            copy=copy,
            since=_stamp(0),
            expires=_stamp(self.ttl_seconds),
            ttl_seconds=self.ttl_seconds,
        )
        self._renewed = time.time()
        try:
            self._etag = self._write(mine, etag=found.etag if found else None)
        except Taken:
            winner = self.bucket.get(LEASE)
            raise self._held(self._holder_in(winner) if winner else mine, winner) from None
        self._holder = mine
        self._thread = threading.Thread(target=self._keep, args=(on_lost,), name="lease", daemon=True)
        self._thread.start()
        return previous

    @property
    def is_held(self) -> bool:
        return self._thread is not None

    @property
    def copy(self) -> str:
        assert self._holder is not None
        return self._holder.copy

    def require(self) -> None:
        """Before anything is written. Raises RunError where the lease is lost.

        One that was not renewed in time (a machine that slept, a network that was away) is renewed here first: that
        fails where somebody has taken it over.
        """
        if self._lost:
            raise self._lost
        assert self._holder is not None, "a store is written by the holder of its lease alone"
        if time.time() - self._renewed > self.ttl_seconds / 2:
            self._renew()

    def release(self, *, forget: bool = False) -> None:
        """Let another writer take it at once; ``forget`` removes it, where no run ever began."""
        if self._thread is None or self._holder is None:
            return
        self._ended.set()
        self._thread.join(timeout=self.ttl_seconds)
        if self._lost is None:
            try:
                if forget:
                    self.bucket.delete([LEASE])
                else:
                    self._write(replace(self._holder, is_released=True), etag=self._etag)
            except (Taken, StoreError) as problem:
                log.info("the lease of %s was not released and will expire: %s", self.bucket.uri, problem)
        self._thread = self._holder = None

    def _keep(self, on_lost: Callable[[ReliftError], None]) -> None:
        while not self._ended.wait(self.ttl_seconds / 3):
            try:
                self._renew()
            except StoreError as problem:
                log.warning("the lease could not be renewed, and is tried again: %s", problem)
            except RunError as lost:
                on_lost(lost)
                return

    def _renew(self) -> None:
        with self._lock:
            if self._lost:
                raise self._lost
            assert self._holder is not None
            asked = time.time()
            try:
                self._etag = self._write(replace(self._holder, expires=_stamp(self.ttl_seconds)), etag=self._etag)
            except Taken:
                self._recognise()
            self._renewed = asked

    def _recognise(self) -> None:
        """A refused renewal: our own, whose answer was lost on the way, or somebody else's. Raises RunError then."""
        assert self._holder is not None
        found = self.bucket.get(LEASE)
        holder = self._holder_in(found) if found else None
        if found and holder and holder.session == self._holder.session:
            self._etag = found.etag
            return
        who = f"{holder.host}, process {holder.pid}, since {holder.since}" if holder else "somebody who removed it"
        self._lost = RunError(
            f"the lease of {self.bucket.uri} was taken over by {who}, since it was not renewed for "
            f"{self.ttl_seconds:.0f} s. This process stopped writing; what it had stored before is kept."
        )
        raise self._lost

    def _write(self, holder: Holder, *, etag: str | None) -> str:
        return self.bucket.put(LEASE, holder.to_json(), only_new=etag is None, replacing=etag)

    def _is_held(self, holder: Holder, found: Object) -> bool:
        return not holder.is_released and not holder.is_dead and found.age_seconds <= holder.ttl_seconds

    def _held(self, holder: Holder, found: Object | None) -> RunError:
        left = holder.ttl_seconds - found.age_seconds if found else holder.ttl_seconds
        return RunError(
            f"the run in {self.bucket.uri} is being written by another process: {holder.host}, process {holder.pid}, "
            f"since {holder.since}. Two trainers on one run would spoil it. Its lease expires in {max(0.0, left):.0f} "
            f"s ({holder.expires}) unless it is renewed: wait for it, stop it, or start under another name with --name."
        )

    def _holder_in(self, found: Object) -> Holder:
        try:
            tree: dict[str, Any] = json.loads(found.content)
            made_by = tree.pop("format")
            if made_by <= FORMAT:
                return Holder(**tree)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise StoreError(
                f"{self.bucket.where(LEASE)} is damaged ({problem}): make sure that nobody writes the run, remove it"
            ) from problem
        raise StoreError(
            f"{self.bucket.where(LEASE)} has format {made_by}, this relift reads up to {FORMAT}: it was written by a "
            f"newer version. Upgrade relift."
        )


def _stamp(seconds_ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds_ahead)).isoformat(timespec="seconds")


def _pids_of() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - it names no path
    except OSError:
        return ""
