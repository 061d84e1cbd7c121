"""A Prefect server for whoever has none: started beside the run, with its home in the project, gone with it.

Where `relift serve` runs in this folder, its server is the one: two on one home would share a SQLite file.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from relift.errors import RunError

PROJECT_FILE = "prefect.yaml"
"""What is deployed; the folder that holds it is the project."""
HOME = Path(".prefect")
SERVED = HOME / "serve.json"
"""Locked by a running `relift serve`; holds the URL of its API."""
HOME_LOCK = HOME / "server.lock"
"""Held while a server uses this home: together by runs with one of their own, by `relift serve` alone."""
START_LIMIT_SECONDS = 120.0
ANSWER_LIMIT_SECONDS = 10.0
"""For a server that was there: a busy one takes its time, one that is not there refuses at once."""
LOCALHOST = "127.0.0.1"
EVERYWHERE = {"0.0.0.0": LOCALHOST, "::": "::1"}
"""Hosts that are no address to ask, and where a server that listens on them is found on its own machine."""
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # One line of ours per iteration is enough on a terminal; everything is in the server's log.
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # A sign of life every 30 s rather than every 180: flows.deploying takes a run that is silent for long for gone.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
"""For this process and those it starts; what the user has set stays."""


class PrefectServer:
    """The server at PREFECT_API_URL where that is set; otherwise one of our own.

    ``start`` does not wait for it, so that the run can be opened meanwhile; ``wait`` returns when it answers. Must be
    started before anything imports Prefect, since Prefect reads its settings on import.
    """

    def __init__(self, *, host: str = LOCALHOST, port: int | None = None) -> None:
        self.host = host
        self.port = port
        """Any free one when empty, as for a run; `relift serve` gives one."""
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._home: IO[str] | None = None
        self._started = 0.0
        self.seconds = 0.0
        """From start to the first answer; 0 for a server that was there."""

    def start(self) -> None:
        """Raises RunError where the server at PREFECT_API_URL does not answer, or ours could not be started.

        While `relift serve` is starting in this folder, its server is waited for.
        """
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        if given := os.environ.get("PREFECT_API_URL"):
            _require_url(given)
            _require_answer(given)
            return
        HOME.mkdir(exist_ok=True)
        port = self.port or _free_port()
        url = api_url(self.host, port)
        if self.port is not None:
            _require_free(self.host, port, url)
            self._take_home_alone()
        elif served := self._served_or_share_home():
            os.environ["PREFECT_API_URL"] = served
            return
        os.environ["PREFECT_HOME"] = str(HOME.absolute())
        # Prefect derives this one from the user's home, whatever PREFECT_HOME says.
        os.environ["PREFECT_SERVER_MEMO_STORE_PATH"] = str(HOME.absolute() / "memo_store.toml")
        os.environ["PREFECT_API_URL"] = url
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
        """Raises RunError when the server ends or does not answer; a second call only looks again."""
        url = os.environ["PREFECT_API_URL"]
        if self._child is None:
            _require_answer(url)
            return
        deadline = time.perf_counter() + START_LIMIT_SECONDS
        while not _answers(url):
            if self._child.poll() is not None or time.perf_counter() > deadline:
                raise RunError(f"the Prefect server did not start: see {HOME / 'server.log'}")
            time.sleep(0.1)
        if self._child.poll() is not None:
            raise RunError(f"the Prefect server did not start, but another one answers: see {HOME / 'server.log'}")
        self.seconds = self.seconds or time.perf_counter() - self._started

    @property
    def has_ended(self) -> bool:
        """Whether our own server is gone; one that was there is not ours to watch."""
        return self._child is not None and self._child.poll() is not None

    def stop(self) -> None:
        """End our own server; one that was there stays."""
        if self._child is not None:
            assert self._child.stdin is not None
            self._child.stdin.close()
            try:
                self._child.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None
        for file in (self._log, self._home):
            if file is not None:
                file.close()
        self._log = self._home = None

    def _take_home_alone(self) -> None:
        self._home = locked(HOME_LOCK, fcntl.LOCK_EX)
        if self._home is None:
            raise RunError(
                f"a run in this folder has started a Prefect server of its own in {HOME}, and two servers on one "
                f"SQLite file lock each other out. Wait until that run (`relift train`, evaluate or harvest) ends, or "
                f"stop it with Ctrl-C: after `relift serve` its command goes on with it, on the server that serves."
            )

    def _served_or_share_home(self) -> str | None:
        """URL of this folder's `relift serve`, waited for while it starts; None once a server of ours may use HOME."""
        deadline = time.perf_counter() + START_LIMIT_SECONDS
        while time.perf_counter() < deadline:
            if url := served_url():
                return url
            self._home = locked(HOME_LOCK, fcntl.LOCK_SH)
            if self._home is not None:
                return None
            time.sleep(0.1)
        raise RunError(
            f"`relift serve` has been starting in this folder for {START_LIMIT_SECONDS:.0f} s and its Prefect server "
            f"does not answer: see {HOME / 'server.log'}. End it with Ctrl-C where it runs, then start this run again."
        )


def served_url() -> str | None:
    """Of the API of a `relift serve` that runs in this folder; None where none does, or it has only begun to start."""
    if (free := locked(SERVED, fcntl.LOCK_SH)) is not None:
        free.close()
        return None
    try:
        return str(json.loads(SERVED.read_text())["url"])
    except (OSError, ValueError, KeyError):
        return None


def api_url(host: str, port: int) -> str:
    """Of the API of a server on this machine that listens on ``host``."""
    name = EVERYWHERE.get(host, host)
    return f"http://[{name}]:{port}/api" if ":" in name else f"http://{name}:{port}/api"


def locked(path: Path, how: int) -> IO[str] | None:
    """The open file that holds the lock, shared or exclusive, until it is closed; None where another one holds it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _require_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise RunError(
            f"PREFECT_API_URL={text!r} is no URL of a Prefect server's API. Give it as http://HOST:PORT/api, such as "
            f"http://127.0.0.1:4200/api, or unset it: relift then starts a server."
        )


def _require_answer(url: str) -> None:
    if not _answers(url, ANSWER_LIMIT_SECONDS):
        raise RunError(
            f"no Prefect server answers at PREFECT_API_URL={url}. Start one with `relift serve` or `prefect server "
            f"start`, correct the variable, or unset it: relift then starts one."
        )


def _require_free(host: str, port: int, url: str) -> None:
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:  # as the server does: beside 0.0.0.0, not instead of it
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except (OSError, UnicodeError) as problem:
        raise RunError(_why_not_free(problem, host, port, url)) from problem


def _why_not_free(problem: OSError | UnicodeError, host: str, port: int, url: str) -> str:
    number = problem.errno if isinstance(problem, OSError) else None
    why = (problem.strerror if isinstance(problem, OSError) else None) or problem
    if number == errno.EADDRINUSE:
        is_prefect = _answers(url)
        found = "a Prefect server answers there" if is_prefect else "something else listens there"
        use = f"set PREFECT_API_URL={url} to use it" if is_prefect else "end it"
        return (
            f"port {port} of {host} cannot be used for the Prefect server ({why}; {found}). Choose another one with "
            f"--port, or {use}."
        )
    if number == errno.EACCES:
        return f"port {port} of {host} may not be used by this user ({why}). Choose one above 1023 with --port."
    return (
        f"--host {host}: the Prefect server cannot listen there ({why}). Use 127.0.0.1 for this machine alone, 0.0.0.0 "
        f"for every machine, or an address that this machine has."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(url: str, timeout: float = 2.0) -> bool:
    """Whether a Prefect server's API is there; whatever else listens may say anything."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=timeout) as response:
            return bool(response.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False
