"""Servers that go while they are needed, and servers that begin all at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.flows.conftest import Command
from tests.prefect.serving import command_line, wait_for, weights
from tests.small_run import small_arguments

ROOT = Path(__file__).parents[2]
FIRST_STARTS = 4
START = """
from flows.server.embedded import PrefectServer
server = PrefectServer()
server.start()
try:
    server.wait()
    print("up")
finally:
    server.stop()
"""


def test_a_run_whose_server_is_killed_stops_at_once_when_asked_and_ends_by_itself(tmp_path: Path) -> None:
    arguments = small_arguments(Path("runs"), "iterations=24")
    run_folder = tmp_path / "runs" / "small"
    with (tmp_path / "out").open("w") as log:

        def started_and_robbed_of_its_server(iteration: int) -> Command:
            run = Command(arguments, tmp_path).start(output=log)
            run.wait_for((run_folder / "iterations" / f"{iteration:05}" / "rollout" / "manifest.json").exists)
            [server] = [pid for pid in run.living() if "flows.server.server_child" in command_line(pid)]
            os.kill(server, signal.SIGKILL)
            return run

        stopped = started_and_robbed_of_its_server(1)
        time.sleep(1)
        asked = time.monotonic()
        stopped.process.send_signal(signal.SIGTERM)
        assert stopped.process.wait(timeout=60) == 3
        assert time.monotonic() - asked < 5
        assert not stopped.living()

        # How far it came in that second is the machine's to say.
        last = max(int(folder.name) for folder in (run_folder / "iterations").iterdir())
        assert last < 20
        ends = started_and_robbed_of_its_server(last + 2)
        wait_for((run_folder / "summary.json").exists, 120)
        worked = time.monotonic()
        assert ends.process.wait(timeout=120) == 0
        assert time.monotonic() - worked < 10
        assert not ends.living()
    said = (tmp_path / "out").read_text()
    assert said.count("this run goes on without the UI") >= 1
    assert "Traceback" not in said and "EventsWorker" not in said
    assert len(weights(tmp_path, "small")) == 64


def test_first_runs_begun_at_once_in_a_fresh_folder_all_get_their_server(tmp_path: Path) -> None:
    """Prefect makes its database at the first start; two that did so at once each found the other's half of it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {"PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", START],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(FIRST_STARTS)
    ]
    said = [process.communicate(timeout=300)[0].decode() for process in started]
    assert said == ["up\n"] * FIRST_STARTS
