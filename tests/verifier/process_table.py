"""Who is there, read from the process table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def children_of(parent: int) -> set[int]:
    """Processes of that parent, zombies included."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"\nPPid:\t{parent}\n" in (entry / "status").read_text():
                found.add(int(entry.name))
        except OSError:
            continue  # it has just ended
    return found


def is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def wait_until_gone(process: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(process)


def peak_bytes(process: int) -> tuple[int, int]:
    """(address space, memory in use), each at its highest."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    parts = (line.partition(":") for line in lines)
    values = {name: int(rest.split()[0]) << 10 for name, _, rest in parts if rest.endswith("kB")}
    return values["VmPeak"], values["VmHWM"]


def memory_bytes(process: int) -> int:
    """Memory in use now, without what is shared with files."""
    resident, shared = (int(n) for n in Path(f"/proc/{process}/statm").read_text().split()[1:3])
    return (resident - shared) * 4096


def in_thread(work: Callable[[], T], seconds: float = 60) -> T:
    """Runs it in a thread other than main and hands its result back."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(seconds)
    assert results, "the thread gave no result"
    return results[0]
