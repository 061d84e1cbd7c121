"""Whole commands before scripted teachers, and before a server that nobody here wrote: `make test-teacher`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from relift.arithmetic import arithmetic_questions
from tests.flows.conftest import prefect_api
from tests.small_run import small_config
from tests.teacher.faulty_server import KEY, FaultyServer, Script, serving

__all__ = ["prefect_api"]
# What `transformers serve` needs beside our own environment; `make test-teacher` puts it there.
SERVE = Path(os.environ.get("RELIFT_SERVE_PACKAGES", ".serve")).absolute()
START_SECONDS = 120.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.teacher)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Script], FaultyServer]]:
    """A scripted server that knows the solutions of the small run's questions."""
    config = small_config(tmp_path).questions
    solutions = {q.text: q.solution or "" for q in arithmetic_questions(config.families, config.count or 0, seed=0)}
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(serving(FaultyServer(solutions, script)))


@contextmanager
def transformers_serve(model: Path, folder: Path) -> Iterator[str]:
    """URL of `transformers serve` with that model, ended with everything it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {k: v for k, v in os.environ.items() if "KEY" not in k}
    environment |= {"PYTHONPATH": str(SERVE), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model)]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, folder / "serve.log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with suppress(ProcessLookupError):  # it did not start, and the failure says why
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")
