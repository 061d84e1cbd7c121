"""A Prefect worker of `relift serve`, in a process group of its own together with the flow runs it starts.

Started as ``python -m flows.worker_child GRACE_SECONDS ARGUMENTS...`` with a pipe as standard input that nobody writes
to: when the parent ends, however it does, the pipe does, and the whole group is told to stop and then made to.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time


def _end_with_parent(grace_seconds: float) -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_seconds)
    os.killpg(0, signal.SIGKILL)


def main(grace_seconds: float, arguments: list[str]) -> None:
    threading.Thread(target=_end_with_parent, args=(grace_seconds,), daemon=True).start()
    from prefect.cli import app

    sys.argv = ["prefect", "--no-prompt", "worker", "start", *arguments]
    app()


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
