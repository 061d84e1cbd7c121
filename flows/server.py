"""A Prefect server for whoever has none: started beside the run, with its home in the project, gone with it.

Where `relift serve` runs in this folder, its server is the one: two on one home would share a SQLite file.
"""

from __future__ import annotations

import fcntl
import json
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

PROJECT_FILE = "prefect.yaml"
"""What is deployed; the folder that holds it is the project."""
HOME = Path(".prefect")
SERVED = HOME / "serve.json"
"""Locked by a running `relift serve`; holds the URL of its API."""
START_LIMIT_SECONDS = 120.0
LOCALHOST = "127.0.0.1"


class PrefectServer:
    """The server at PREFECT_API_URL where that is set; otherwise one of our own.

    ``start`` returns at once, so that the run can be opened meanwhile; ``wait`` returns when it answers. Must be
    started before anything imports Prefect, since Prefect reads its settings on import.
    """

    def __init__(self, *, host: str = LOCALHOST, port: int | None = None) -> None:
        self.host = host
        self.port = port
        """Any free one when empty."""
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
        if self.port is None and (served := served_url()):
            os.environ["PREFECT_API_URL"] = served
            return
        os.environ["PREFECT_HOME"] = str(HOME.absolute())
        # Prefect derives this one from the user's home, whatever PREFECT_HOME says.
        os.environ["PREFECT_SERVER_MEMO_STORE_PATH"] = str(HOME.absolute() / "memo_store.toml")
        port = self.port or _free_port()
        if self.port:
            _require_free(self.host, port)
        os.environ["PREFECT_API_URL"] = f"http://{LOCALHOST}:{port}/api"
        # Relative, so that the UI asks the server it came from, whatever that is called where the browser is.
        os.environ.setdefault("PREFECT_SERVER_UI_API_URL", "/api")
        self._log = (HOME / "server.log").open("ab")
        self._started = time.perf_counter()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "flows.server_child", self.host, str(port)],
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
                    f"no Prefect server answers at PREFECT_API_URL={os.environ['PREFECT_API_URL']}. Start one with "
                    f"`relift serve` or `prefect server start`, correct the variable, or unset it: relift then "
                    f"starts one."
                )
            if self._child.poll() is not None or time.perf_counter() > deadline:
                raise RunError(f"the Prefect server did not start: see {HOME / 'server.log'}")
            time.sleep(0.1)
        if self._child is not None and self._child.poll() is not None:
            raise RunError(f"the Prefect server did not start, but another one answers: see {HOME / 'server.log'}")
        if self._child is not None:
            self.seconds = time.perf_counter() - self._started

    @property
    def has_ended(self) -> bool:
        """Whether our own server is gone; one that was there is not ours to watch."""
        return self._child is not None and self._child.poll() is not None

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


def served_url() -> str | None:
    """Of the API of a `relift serve` that runs in this folder."""
    try:
        with SERVED.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return str(json.loads(SERVED.read_text())["url"])
        except (ValueError, KeyError):
            return None  # it has only just begun to start
    except OSError:
        return None
    return None


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            is_prefect = _answers(f"http://{LOCALHOST}:{port}/api/health")
            found = "a Prefect server answers there" if is_prefect else "something else listens there"
            use = f"set PREFECT_API_URL=http://{LOCALHOST}:{port}/api to use it" if is_prefect else "end it"
            raise RunError(
                f"port {port} of {host} cannot be used for the Prefect server ({problem.strerror}; {found}). "
                f"Choose another one with --port, or {use}."
            ) from problem


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
