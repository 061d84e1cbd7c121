"""A Prefect worker of `relift serve`, in a process group of its own together with the flow runs it starts.

Started as ``python -m flows.worker_child GRACE_SECONDS ARGUMENTS...`` with a pipe as standard input that nobody writes
to: when the parent ends, however it does, the pipe does, and the whole group is told to stop and then made to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress

FLOW_RUN = "prefect.engine"
"""In the command line of every flow run's process."""


def end_groups(groups: Collection[int], grace_seconds: float) -> None:
    """Stop workers and their flow runs, given as process groups that workers lead.

    Flow runs first, and alone: a worker that is told to stop kills its flow runs before they could say how they ended.
    """
    for flow_run in flow_runs(groups):
        with suppress(ProcessLookupError):
            os.kill(flow_run, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while flow_runs(groups) and time.monotonic() < deadline:
        time.sleep(0.1)
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGTERM)


def flow_runs(groups: Collection[int]) -> list[int]:
    """Processes of flow runs in these process groups."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [int(line[0]) for line in lines if len(line) == 3 and int(line[1]) in groups and FLOW_RUN in line[2]]


def _end_with_parent(grace_seconds: float) -> None:
    while os.read(0, 1):
        pass
    group = os.getpgrp()
    end_groups([group], grace_seconds)
    time.sleep(3)
    os.killpg(group, signal.SIGKILL)


def main(grace_seconds: float, arguments: list[str]) -> None:
    threading.Thread(target=_end_with_parent, args=(grace_seconds,), daemon=True).start()
    from prefect.cli import app

    sys.argv = ["prefect", "--no-prompt", "worker", "start", *arguments]
    app()


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
