"""A Prefect server for whoever has none: started beside the run, with its home in the project, gone with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from relift.errors import RunError

HOME = Path(".prefect")
START_LIMIT_SECONDS = 120.0


class PrefectServer:
    """The server at PREFECT_API_URL where that is set; otherwise one of our own.

    ``start`` returns at once, so that the run can be opened meanwhile; ``wait`` returns when it answers. Must be
    started before anything imports Prefect, since Prefect reads its settings on import.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._started = 0.0
        self.seconds = 0.0
        """From start to the first answer; 0 for a server that was there."""

    def start(self) -> None:
        quiet = {
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            # One line of ours per iteration is enough on a terminal; everything is in the server's log.
            "PREFECT_LOGGING_LEVEL": "WARNING",
        }
        for name, value in quiet.items():
            os.environ.setdefault(name, value)
        if os.environ.get("PREFECT_API_URL"):
            return
        HOME.mkdir(exist_ok=True)
        os.environ["PREFECT_HOME"] = str(HOME.absolute())
        # Prefect derives this one from the user's home, whatever PREFECT_HOME says.
        os.environ["PREFECT_SERVER_MEMO_STORE_PATH"] = str(HOME.absolute() / "memo_store.toml")
        port = _free_port()
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        self._log = (HOME / "server.log").open("ab")
        self._started = time.perf_counter()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "flows.server_child", str(port)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C in the terminal is for the run, which still has to report to the server
        )

    def wait(self) -> None:
        """Raises RunError when the server ends or does not answer."""
        url = os.environ["PREFECT_API_URL"] + "/health"
        deadline = time.perf_counter() + START_LIMIT_SECONDS
        while not _answers(url):
            if self._child is None:
                raise RunError(
                    f"no Prefect server answers at PREFECT_API_URL={os.environ['PREFECT_API_URL']}. Start it with "
                    f"`prefect server start`, correct the variable, or unset it to have relift start one."
                )
            if self._child.poll() is not None or time.perf_counter() > deadline:
                raise RunError(f"the Prefect server did not start: see {HOME / 'server.log'}")
            time.sleep(0.1)
        if self._child is not None:
            self.seconds = time.perf_counter() - self._started

    def stop(self) -> None:
        """End our own server; one that was there stays."""
        if self._child is None:
            return
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._log is not None:
            self._log.close()
        self._child = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
