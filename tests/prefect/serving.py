"""A real `relift serve` in a project folder of its own, and a client of its server's API as the UI uses it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.server.embedded import KEY
from flows.server.protection import authorization
from tests.flows.conftest import Command

REPOSITORY = Path(__file__).parents[2]
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
PARALLEL_RUNS = 2
BUSY_SECONDS = 70.0
"""A little more than a connection of Prefect waits for a locked SQLite file."""

Tree = dict[str, Any]


@dataclass
class Refused(Exception):
    """The server's answer to a request that it does not grant."""

    status: int
    text: str


@dataclass
class Api:
    """A Prefect server over HTTP, in the words of its UI, which gives the key and a token against forged requests."""

    url: str
    key: str
    token: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer; a server whose SQLite file is busy (503) is asked again, as Prefect's own client does."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._ask(method, path, body)
            except Refused as refused:
                if refused.status != 503 or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def headers(self, method: str) -> dict[str, str]:
        """What a request has to carry. Tokens live for an hour: longer than any test."""
        if method != "GET" and not self.token:
            client = uuid.uuid4().hex
            token = self.call("GET", f"/csrf-token?client={client}")["token"]
            self.token = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}
        token = {} if method == "GET" else self.token
        return {"Content-Type": "application/json", **authorization(self.key), **token}

    def _ask(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=self.headers(method))
        try:
            with urllib.request.urlopen(request, timeout=BUSY_SECONDS) as answer:
                content = answer.read()
        except urllib.error.HTTPError as problem:
            raise Refused(problem.code, problem.read().decode()) from None
        return json.loads(content) if content else None

    def deployment(self, name: str) -> Tree:
        found: Tree = self.call("GET", f"/deployments/name/{name}/{name}")
        return found

    def start(self, deployment: str, config: Tree, name: str = "") -> str:
        """Id of a flow run, created as the form in the UI does it: the whole tree as JSON."""
        parameters = {"config": config, "name": name}
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        run: Tree = self.call("POST", f"/deployments/{self.deployment(deployment)['id']}/create_flow_run", body)
        return str(run["id"])

    def retry(self, run: str) -> None:
        """What the button Retry sends."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        answer = self.call("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": False})
        assert answer["status"] == "ACCEPT", answer

    def run(self, run: str) -> Tree:
        found: Tree = self.call("GET", f"/flow_runs/{run}")
        return found

    def wait(self, run: str, *states: str, timeout: float = 120) -> Tree:
        """The state of a flow run as soon as it is one of these."""
        return wait_for(lambda: _if_in(self.run(run)["state"], states or ENDED), timeout, lambda: self.tell(run))

    def artifacts(self, run: str) -> list[Tree]:
        found: list[Tree] = self.call("POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return found

    def logs(self, run: str) -> str:
        found = self.call("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200})
        return "\n".join(line["message"] for line in found)

    def tell(self, run: str) -> str:
        return f"{self.run(run)['state']}\n{self.logs(run)[-3000:]}"


@dataclass
class Served:
    """A running `relift serve`."""

    command: Command
    folder: Path
    port: int

    @cached_property
    def api(self) -> Api:
        return Api(f"http://127.0.0.1:{self.port}/api", (self.folder / KEY).read_text().strip())

    def processes(self, words: str) -> list[int]:
        """Living processes of this `relift serve` whose command line holds the words."""
        return [pid for pid in self.command.living() if words in command_line(pid)]

    def flow_process(self, run: str, timeout: float = 30) -> int:
        """Of the newest attempt at a flow run."""

        def found() -> int | None:
            flows = [pid for pid in self.processes("prefect.engine") if f"PREFECT__FLOW_RUN_ID={run}" in environ(pid)]
            return max(flows, default=None)

        return wait_for(found, timeout)

    def stop(self) -> str:
        """What it printed in the end, of which nothing may be lost: Ctrl-C as a terminal sends it."""
        if self.command.process.poll() is None:
            self.command.signal_group(signal.SIGINT)
        return self.command.finish(timeout=30)[1]


def wait_for(look: Callable[[], Any], timeout: float, tell: Callable[[], str] = lambda: "") -> Any:
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {tell()}"
        time.sleep(0.1)
    return found


def serve(folder: Path, port: int) -> Served:
    """Start it and wait until it says that everything is there."""
    copy_project(folder)
    command = Command(["serve", "--port", str(port), "--gpu-runs", str(PARALLEL_RUNS)], folder)
    with (folder / "serve.out").open("w") as log:  # a file: a pipe that nobody reads would stop it
        command.start(output=log)
    command.wait_for(lambda: "Ctrl-C ends" in (folder / "serve.out").read_text(), timeout=120)
    return Served(command, folder, port)


def copy_project(folder: Path) -> None:
    """What makes a folder a project: the repository's prefect.yaml, as it is shipped."""
    shutil.copy(REPOSITORY / "prefect.yaml", folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_line(pid: int) -> str:
    return _read(pid, "cmdline").replace("\0", " ")


def environ(pid: int) -> str:
    return _read(pid, "environ")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def weights(folder: Path, name: str) -> str:
    """Of a finished run in the project."""
    return str(json.loads((folder / "runs" / name / "summary.json").read_text())["weights_sha256"])


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _if_in(state: Tree, states: tuple[str, ...]) -> Tree | None:
    return state if state["type"] in states else None
