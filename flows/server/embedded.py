"""A Prefect server for whoever has none: started beside the run, with its home in the project, gone with it.

Where `relift serve` runs in this folder, its server is the one: two on one home would share a SQLite file.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from flows.server.address import (
    LOCALHOST,
    answers,
    api_url,
    free_port,
    require_answer,
    require_free,
    require_key,
    require_url,
)
from flows.server.profile import unused_server
from flows.server.protection import CLIENT_KEY, given_key, own_key, protected, require_own_key
from relift.errors import RunError

PROJECT_FILE = "prefect.yaml"
"""What is deployed; the folder that holds it is the project."""
HOME = Path(".prefect")
SERVED = HOME / "serve.json"
"""Locked by a running `relift serve`; holds the URL of its API, and where its key is, if it was made here."""
KEY = HOME / "key"
"""Of the servers of this folder, unless the user gives one."""
HOME_LOCK = HOME / "server.lock"
"""Held while a server uses this home: together by runs with one of their own, by `relift serve` alone."""
START_LIMIT_SECONDS = 120.0
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # One line of ours per iteration is enough on a terminal; everything is in the server's log.
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # A sign of life every 30 s rather than every 180: a run that is silent for long is taken for gone (deployments.py).
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
        self.unused = ""
        """What to say of a server that the user's settings of Prefect name, and that is not used."""
        self.key_file: Path | None = None
        """Where the key of a server of ours stands, unless the user gave one."""
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
            require_url(given)
            if HOME.is_dir() and (served := served_here()) and served.url == given:
                _use(served)
            require_answer(given)
            return
        profiles = dict(os.environ)  # before PREFECT_HOME is ours
        make_home()
        port = self.port or free_port()
        url = api_url(self.host, port)
        if self.port is not None:
            require_free(self.host, port, url)
            require_own_key(self.host, os.environ)
            self._take_home_alone()
        elif served := self._served_or_share_home():
            _use(served)
            require_key(served.url)
            self.unused = unused_server(profiles, used=served.url)
            return
        self.unused = unused_server(profiles, used=url)
        key = given_key(os.environ) or own_key(KEY)
        self.key_file = None if given_key(os.environ) else KEY
        protection = protected(os.environ, key=key, host=self.host, port=port)
        os.environ["PREFECT_HOME"] = str(HOME.absolute())
        # Prefect derives this one from the user's home, whatever PREFECT_HOME says.
        os.environ["PREFECT_SERVER_MEMO_STORE_PATH"] = str(HOME.absolute() / "memo_store.toml")
        os.environ["PREFECT_API_URL"] = url
        os.environ[CLIENT_KEY] = key
        # Relative, so that the UI asks the server it came from, whatever that is called where the browser is.
        os.environ.setdefault("PREFECT_SERVER_UI_API_URL", "/api")
        self._log = (HOME / "server.log").open("ab")
        self._started = time.perf_counter()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "flows.server.server_child", self.host, str(port)],
            env=os.environ | protection,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C in the terminal is for the run, which still has to report to the server
        )

    def wait(self) -> None:
        """Raises RunError when the server ends or does not answer; a second call only looks again."""
        url = os.environ["PREFECT_API_URL"]
        if self._child is None:
            require_answer(url)
            return
        deadline = time.perf_counter() + START_LIMIT_SECONDS
        while not answers(url):
            if self._child.poll() is not None or time.perf_counter() > deadline:
                raise RunError(f"the Prefect server did not start: see {HOME / 'server.log'}")
            time.sleep(0.1)
        if self._child.poll() is not None:
            raise RunError(f"the Prefect server did not start, but another one answers: see {HOME / 'server.log'}")
        self.seconds = self.seconds or time.perf_counter() - self._started

    @property
    def is_ours(self) -> bool:
        """Whether the server was started here."""
        return self._child is not None

    @property
    def watched(self) -> Callable[[], bool] | None:
        """How to see that our own server is gone; nothing for one that was there, which has to be asked."""
        return (lambda: self.has_ended) if self.is_ours else None

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

    def _served_or_share_home(self) -> Served | None:
        """This folder's `relift serve`, waited for while it starts; None once a server of ours may use HOME."""
        deadline = time.perf_counter() + START_LIMIT_SECONDS
        while time.perf_counter() < deadline:
            if served := served_here():
                return served
            self._home = locked(HOME_LOCK, fcntl.LOCK_SH)
            if self._home is not None:
                return None
            time.sleep(0.1)
        raise RunError(
            f"`relift serve` has been starting in this folder for {START_LIMIT_SECONDS:.0f} s and its Prefect server "
            f"does not answer: see {HOME / 'server.log'}. End it with Ctrl-C where it runs, then start this run again."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running `relift serve`, e.g. ``url="http://127.0.0.1:4200/api", key_file=".prefect/key"``."""

    url: str
    """Of its server's API."""
    key_file: str = ""
    """Empty where the key is one that the user gave."""
    pid: int = 0

    def write(self) -> None:
        SERVED.write_text(json.dumps(asdict(self)))


def served_here() -> Served | None:
    """The `relift serve` that runs in this folder; None where none does, or it has only begun to start."""
    if (free := locked(SERVED, fcntl.LOCK_SH)) is not None:
        free.close()
        return None
    try:
        return Served(**json.loads(SERVED.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _use(served: Served) -> None:
    os.environ["PREFECT_API_URL"] = served.url
    if served.key_file:
        os.environ[CLIENT_KEY] = own_key(Path(served.key_file))


def make_home() -> None:
    """HOME, for this user alone: it holds the key, and logs of whatever ran. Raises RunError."""
    try:
        HOME.mkdir(mode=0o700, exist_ok=True)
        HOME.chmod(0o700)
    except OSError as problem:
        raise RunError(
            f"{HOME.absolute()}, where the Prefect server of this folder lives, cannot be made or is another user's "
            f"({problem.strerror}). Work in a folder of your own, or set PREFECT_API_URL to a server that is there."
        ) from problem


def locked(path: Path, how: int) -> IO[str] | None:
    """The open file that holds the lock, shared or exclusive, until it is closed; None where another one holds it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
