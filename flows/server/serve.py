"""`relift serve`: server, work pools, deployments and workers on one machine, until Ctrl-C.

    PREFECT_API_URL set?  no: our own server on --port   yes: that one, and only workers here
        -> pools and queues -> prefect.yaml -> one worker per pool, watched and started again when it dies

Each worker leads a process group that its flow runs belong to, so that whatever was started here can be ended here.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from rich.console import Console

from flows.server.embedded import HOME, PROJECT_FILE, SERVED, PrefectServer, Served, locked, make_home, served_here
from flows.server.profile import unused_server
from flows.server.protection import CLIENT_KEY, SERVER_KEY
from flows.server.worker_child import end_groups
from relift.errors import RunError
from relift.urls import shown_url

GRACE_SECONDS = 20.0
"""A flow run that is told to stop is out within 5 s, unless the machine is busy; what is not after this is ended."""
WORKER_STOP_SECONDS = 5.0
WORKER_START_SECONDS = 90.0
MOST_RESTARTS = 5
"""Of one worker within ten minutes, before serving ends with an error."""
RESTART_WINDOW_SECONDS = 600.0
STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a service manager, a terminal that is closed."""
MOVED = {"flows.place.": "flows.run_name.", "flows.deploying.": "flows.server.deployments."}
"""Where steps that an earlier relift's prefect.yaml names are today."""

console = Console()


class Stop(Exception):
    """The user asked to stop."""


@dataclass(slots=True, kw_only=True)
class WorkerProcess:
    """The worker of one pool, e.g. pool ``"gpu"`` with at most 1 flow run at a time."""

    pool: str
    limit: int
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    groups: list[int] = field(default_factory=list)
    """Process groups of this worker and its predecessors: a worker that was killed leaves its flow runs behind."""
    starts: list[float] = field(default_factory=list)
    log_offset: int = 0

    @property
    def log(self) -> Path:
        return HOME / f"worker-{self.pool}.log"

    def start(self) -> None:
        self.log_offset = self.log.stat().st_size if self.log.exists() else 0
        name = f"{self.pool}-{socket.gethostname()}"
        options = ["--pool", self.pool, "--type", "process", "--name", name, "--limit", str(self.limit)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.server.worker_child", str(GRACE_SECONDS), *options],
                env=dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.groups.append(self.process.pid)
        self.starts.append(time.monotonic())

    @property
    def is_started(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self.log_offset)
            return b"started!" in log.read()

    @property
    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def restart(self) -> None:
        """Raises RunError when it has died too often."""
        assert self.process is not None
        recent = [at for at in self.starts if time.monotonic() - at < RESTART_WINDOW_SECONDS]
        if len(recent) > MOST_RESTARTS:
            raise RunError(
                f"the worker of pool {self.pool} died {len(recent)} times in {RESTART_WINDOW_SECONDS:.0f} s: see "
                f"{self.log}. Mend what it says, then run `relift serve` again."
            )
        console.print(
            f"The worker of pool {self.pool} ended ({_how(self.process.returncode)}) and is started again. Flow "
            f"runs it had started go on by themselves.",
            highlight=False,
        )
        self.start()

    def send_signal(self, number: int) -> None:
        for group in self.groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    def is_gone(self) -> bool:
        if self.process is not None:
            self.process.poll()  # reaps it, or its group would seem alive
        return not any(_has_members(group) for group in self.groups)


def serve_command(*, host: str, port: int, cpu_runs: int, gpu_runs: int, pools: Sequence[str]) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP. Raises RunError for what a user can mend; leaves no process behind."""
    limits = {"cpu": cpu_runs, "gpu": gpu_runs}
    pools = tuple(pools) or tuple(limits)
    if unknown := [pool for pool in pools if pool not in limits]:
        raise RunError(f"there is no work pool {unknown[0]!r} here: choose among {', '.join(limits)}")
    _require_project()
    make_home()
    level = os.environ.get("PREFECT_LOGGING_LEVEL", "INFO")
    with _only_one(), _stopped_by_signals():
        server = PrefectServer(host=host, port=port)
        workers: list[WorkerProcess] = []
        try:
            _serve(server, workers, level, {pool: limits[pool] for pool in pools})
        except (Stop, KeyboardInterrupt):
            pass
        finally:
            for number in STOPPED_BY:  # ending is bounded: a second Ctrl-C would leave things behind
                signal.signal(number, signal.SIG_IGN)
            console.print("Stopping: flow runs keep what they recorded, and Retry resumes them.", highlight=False)
            end(workers)
            server.stop()


def deploy_command() -> None:
    """What `relift serve` does to a server that is there. Raises RunError."""
    _require_project()
    if not os.environ.get("PREFECT_API_URL"):
        raise RunError(
            "PREFECT_API_URL is not set, so there is no server to deploy to. Set it, or run `relift serve`, which "
            "starts a server and deploys. " + unused_server(os.environ, used="")
        )
    server = PrefectServer()
    server.start()
    server.wait()
    _deploy()
    console.print(f"Deployed to {shown_url(os.environ['PREFECT_API_URL'])}", highlight=False, soft_wrap=True)


def _deploy() -> None:
    from flows.server.deployments import deploy, prepare_server

    asyncio.run(prepare_server())
    deploy(os.environ)


def _require_project() -> None:
    if not Path(PROJECT_FILE).is_file():
        shipped = Path(sysconfig.get_path("data"), "share", "relift", PROJECT_FILE)
        here = f"copy the one that came with relift: cp {shipped} ." if shipped.is_file() else "copy relift's here."
        raise RunError(
            f"{Path.cwd()} holds no {PROJECT_FILE}, which says what is deployed. Change to the project's folder, or "
            f"{here}"
        )
    text = Path(PROJECT_FILE).read_text(encoding="utf-8", errors="replace")
    if moved := [f"{new} for {old}" for old, new in MOVED.items() if old in text]:
        raise RunError(
            f"{Path.cwd() / PROJECT_FILE} names steps as an earlier relift did, and its deployments could not run. "
            f"Write in it {', and '.join(moved)}"
        )


def _serve(server: PrefectServer, workers: list[WorkerProcess], level: str, limits: Mapping[str, int]) -> None:
    server.start()
    if server.unused:
        console.print(server.unused, highlight=False, markup=False, soft_wrap=True)
    os.environ.setdefault("PREFECT_HOME", str(HOME.absolute()))
    server.wait()
    url = os.environ["PREFECT_API_URL"]
    Served(url=url, key_file=str(server.key_file or ""), pid=os.getpid()).write()
    _deploy()
    environment = worker_environment(os.environ, level=level)
    for pool, limit in limits.items():
        workers.append(WorkerProcess(pool=pool, limit=limit, environment=environment))
        workers[-1].start()
    _wait_until_started(workers)
    console.print(f"Prefect UI   {shown_url(url.removesuffix('/api'))}", highlight=False, soft_wrap=True)
    if server.is_ours:
        console.print(f"key          {how_to_get_in(server.key_file)}", highlight=False, soft_wrap=True)
    for worker in workers:
        line = f"worker       pool {worker.pool}, {worker.limit} at a time, log in {worker.log}"
        console.print(line, highlight=False, soft_wrap=True)
    console.print("Ctrl-C ends all of it. `relift train` in this folder uses this server.", highlight=False)
    while True:
        time.sleep(0.5)
        if server.has_ended:
            raise RunError(f"the Prefect server ended by itself: see {HOME / 'server.log'}")
        for worker in workers:
            if worker.has_ended:
                worker.restart()


def worker_environment(base: Mapping[str, str], *, level: str = "INFO") -> dict[str, str]:
    """What workers and their flow runs are told; what the user has set stays."""
    variables = {
        "RELIFT_HOME": str(Path.cwd()),
        "OMP_NUM_THREADS": "1",  # a run's own setting (policy.threads) comes later and rules
        # Told on a flow run's page: what the run says of itself, not that each of its thousand tasks has finished.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "relift,flows",
        "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
    }
    return {**variables, **base, "PREFECT_LOGGING_LEVEL": level}


def how_to_get_in(key_file: Path | None) -> str:
    """Where the key stands, never the key: what is printed ends up in logs."""
    if key_file is None:
        return f"yours, of {SERVER_KEY}: the UI asks for it, the `prefect` command takes it as {CLIENT_KEY}"
    return f"in {key_file}: the UI asks for it; for the `prefect` command: export {CLIENT_KEY}=$(cat {key_file})"


def _wait_until_started(workers: Sequence[WorkerProcess]) -> None:
    deadline = time.monotonic() + WORKER_START_SECONDS
    for worker in workers:
        while not worker.is_started:
            if worker.has_ended or time.monotonic() > deadline:
                raise RunError(f"the worker of pool {worker.pool} did not start: see {worker.log}")
            time.sleep(0.1)


def end(workers: Sequence[WorkerProcess]) -> None:
    """Stop workers and their flow runs: asked first, made to after GRACE_SECONDS."""
    end_groups([group for worker in workers for group in worker.groups], GRACE_SECONDS)
    deadline = time.monotonic() + WORKER_STOP_SECONDS
    while not all(worker.is_gone() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 3
    while not all(worker.is_gone() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def _only_one() -> Iterator[IO[str]]:
    """Held while serving; ``embedded.served_here`` looks at it. Raises RunError where this folder is served."""
    file = locked(SERVED, fcntl.LOCK_EX)
    if file is None:
        where = shown_url(served.url) if (served := served_here()) else "it is starting"
        raise RunError(
            f"`relift serve` runs in this folder already: {where}. Use that one, or end it with Ctrl-C where it runs."
        )
    with file:
        file.truncate(0)
        yield file
        file.truncate(0)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stop

    before = {number: signal.signal(number, stop) for number in STOPPED_BY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
