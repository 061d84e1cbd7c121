"""A Prefect worker of `relift serve`, in a process group of its own together with the flow runs it starts.

Started as ``python -m flows.server.worker_child GRACE_SECONDS ARGUMENTS...`` with a pipe as standard input that nobody
writes to: when the parent ends, however it does, the pipe does, and the whole group is told to stop and then made to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

FLOW_RUN = "prefect.engine"
"""In the command line of every flow run's process."""


def end_groups(groups: Collection[int], grace_seconds: float) -> None:
    """Stop workers and their flow runs, given as process groups that workers lead.

    Flow runs first, and alone: a worker that is told to stop kills its flow runs before they could say how they ended.
    Until it is told it may start another one, so these are looked for again and again.
    """
    signalled: set[int] = set()
    deadline = time.monotonic() + grace_seconds
    try:
        while running := flow_runs(groups):
            for flow_run in running - signalled:
                with suppress(ProcessLookupError):
                    os.kill(flow_run, signal.SIGTERM)
            signalled |= running
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
    finally:
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGTERM)


def flow_runs(groups: Collection[int]) -> set[int]:
    """Processes of flow runs in these process groups."""
    return {pid for pid, group, command in _processes() if group in groups and FLOW_RUN in command}


def _processes() -> Iterator[tuple[int, int, str]]:
    """(process, its group, command line) of all that can be seen; small containers have no `ps`, macOS no /proc."""
    if not Path("/proc/self/cmdline").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,args="], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            pid, group, *rest = line.split(maxsplit=2)
            yield int(pid), int(group), "".join(rest)
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            yield int(folder.name), os.getpgid(int(folder.name)), command


def _end_with_parent(grace_seconds: float) -> None:
    while os.read(0, 1):
        pass
    group = os.getpgrp()
    try:
        end_groups([group], grace_seconds)
        time.sleep(3)
    finally:
        os.killpg(group, signal.SIGKILL)


def main(grace_seconds: float, arguments: list[str]) -> None:
    threading.Thread(target=_end_with_parent, args=(grace_seconds,), daemon=True).start()
    from prefect.cli import app

    sys.argv = ["prefect", "--no-prompt", "worker", "start", *arguments]
    app()


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
