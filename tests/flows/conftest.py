"""Real processes: the `relift` command, and a Prefect server that the flow tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from flows.server.protection import CLIENT_KEY

RELIFT = Path(sys.executable).with_name("relift")


@dataclass
class Command:
    """One `relift` process, and every process that it started: all carry a mark in their environment."""

    arguments: list[str]
    folder: Path
    server: str | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(self, output: IO[str] | int = subprocess.PIPE) -> Command:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        environment |= {"RELIFT_TEST_MARK": self.mark, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        if self.server:
            environment["PREFECT_API_URL"] = self.server
            if key := os.environ.get(CLIENT_KEY):
                environment[CLIENT_KEY] = key
        self.process = subprocess.Popen(
            [str(RELIFT), *self.arguments],
            cwd=self.folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def finish(self, timeout: float = 180) -> tuple[int, str]:
        """(exit code, everything printed to the pipe)."""
        output, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, output or ""

    def signal_group(self, number: int) -> None:
        """As a terminal sends it: to the whole foreground group."""
        os.killpg(self.process.pid, number)

    def living(self) -> list[int]:
        """Processes with the mark that are still there."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def wait_for(self, ready: Callable[[], bool], timeout: float = 90) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                if self.process.poll() is None:
                    self.signal_group(signal.SIGKILL)
                pytest.fail(f"the command did not get there: {(self.process.communicate()[0] or '')[-3000:]}")
            time.sleep(0.02)


def command(arguments: list[str], folder: Path, server: str | None = None) -> Command:
    return Command(arguments, folder, server).start()


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of one Prefect server for all flow tests, with a home of its own."""
    home = tmp_path_factory.mktemp("prefect")
    before = dict(os.environ)
    from flows.server.embedded import PrefectServer

    os.environ.pop("PREFECT_API_URL", None)
    here = Path.cwd()
    os.chdir(home)
    server = PrefectServer()
    try:
        server.start()
        server.wait()
        yield os.environ["PREFECT_API_URL"]
    finally:
        server.stop()
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
