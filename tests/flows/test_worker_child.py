"""Ending a worker's process group: its flow runs are asked first, also those that start meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.server import worker_child
from flows.server.worker_child import end_groups, flow_runs

# A worker that starts a flow run, and another one when that has ended; it is told to stop only after both.
WORKER = """
import signal, subprocess, sys
folder = sys.argv[1]
flow = '''
import pathlib, signal, sys, time
def stop(number, frame):
    pathlib.Path(sys.argv[2]).write_text("asked")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[2]).write_text("runs")
time.sleep(60)
'''
for name in ("first", "second"):
    subprocess.run([sys.executable, "-c", flow, "prefect.engine", f"{folder}/{name}"])
signal.pause()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = tmp_path / "worker.py"  # a file: its text would else stand in the worker's own command line
    script.write_text(WORKER)
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)], start_new_session=True)
    wait_until(lambda: (tmp_path / "first").exists() and (tmp_path / "first").read_text() == "runs")
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_flow_run_is_asked_to_stop_where_there_is_no_ps(
    worker: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert len(flow_runs([worker.pid])) == 1
    started = time.monotonic()
    # The second one is caught while it starts up or later: either way it is over long before its 60 seconds.
    end_groups([worker.pid], grace_seconds=15)
    assert time.monotonic() - started < 10
    assert (tmp_path / "first").read_text() == "asked"
    assert worker.wait(timeout=5) == -signal.SIGTERM
    assert not flow_runs([worker.pid])


def test_workers_are_told_to_stop_even_where_their_flow_runs_cannot_be_found(
    worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(groups: object) -> set[int]:
        raise OSError("no list of processes")

    monkeypatch.setattr(worker_child, "flow_runs", fail)
    with pytest.raises(OSError, match="no list"):
        end_groups([worker.pid], grace_seconds=5)
    assert worker.wait(timeout=5) == -signal.SIGTERM
