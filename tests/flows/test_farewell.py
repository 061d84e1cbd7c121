"""A flow whose Prefect server goes before it ends: what is noticed, and what is not waited for."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.cli import main as cli
from flows.server import outage as farewell
from flows.server.outage import LINE, WORK, ServerGone, begun, ended, hold_result, run_flow, unless_gone
from relift.errors import Interrupted, RunError


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(farewell, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(farewell, "REFUSED_SECONDS", 0.2)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    yield
    LINE.unwatch()
    LINE.is_gone = False
    if WORK.left is not None:
        WORK.left.get_loop().close()
    WORK.left = None


@contextmanager
def healthy(port: int) -> Iterator[int]:
    """A server that answers what a Prefect server does when asked for its health."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def wait_for(value: bool) -> None:
    deadline = time.monotonic() + 10
    while LINE.is_gone is not value:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_is_not_ours_is_missed_and_welcomed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with healthy(0) as port:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
        LINE.watch(None, said.append)
        time.sleep(0.3)
        assert not LINE.is_gone
    wait_for(True)
    with healthy(port):
        wait_for(False)
    LINE.unwatch()
    assert len(said) == 2 and "goes on without the UI" in said[0] and "answers again" in said[1]


def test_of_what_prefect_could_not_deliver_a_heartbeat_is_not_said_and_the_rest_is() -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("prefect.events.utilities")
    logger.addHandler(handler)
    LINE.watch(lambda: False, lambda text: None)
    try:
        logger.error("Error emitting event: prefect.flow-run.heartbeat")
        logger.error("Error emitting event: prefect.flow-run.Completed")
    finally:
        logger.removeHandler(handler)
    assert said == ["Error emitting event: prefect.flow-run.Completed"]


def test_a_server_that_is_busy_is_not_taken_for_gone_as_fast_as_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.server.outage.answers", lambda url: False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/api")
        LINE.watch(None, print)
        time.sleep(0.6)
        assert not LINE.is_gone
    wait_for(True)


async def reporting() -> None:
    """Prefect's report to a server that is gone: tried again and again, whatever happens to it."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def flow(problem: BaseException | None = None, work: float = 0.0) -> str:
    begun()
    await asyncio.sleep(work)
    if problem is not None:
        ended(problem)
    else:
        hold_result("the summary")
        ended()
    await reporting()
    return "never"


def test_the_result_is_handed_on_without_the_report_that_nobody_takes() -> None:
    gone = threading.Event()
    threading.Timer(0.2, gone.set).start()
    began = time.monotonic()
    assert run_flow(flow(work=0.5), has_ended=gone.is_set, say=print) == "the summary"
    assert 0.5 <= time.monotonic() - began < 2
    assert WORK.left, "the process must be left without waiting for Prefect"


def test_what_the_work_ended_with_is_raised_without_the_report_that_nobody_takes() -> None:
    gone = threading.Event()
    threading.Timer(0.2, gone.set).start()
    with pytest.raises(Interrupted, match="stopped on request"):
        run_flow(flow(Interrupted("stopped on request"), work=0.5), has_ended=gone.is_set, say=print)
    assert WORK.left


def test_a_server_that_goes_before_the_work_begins_is_said() -> None:
    with pytest.raises(RunError, match=r"ended before the run began: see \.prefect/server\.log"):
        run_flow(reporting(), has_ended=lambda: True, say=print)


def test_with_a_server_that_stays_the_flow_is_run_as_it_is() -> None:
    async def plain(problem: Exception | None) -> str:
        begun()
        ended(problem)
        await asyncio.sleep(0.3)
        if problem:
            raise problem
        return "by Prefect"

    assert run_flow(plain(None), has_ended=lambda: False, say=print) == "by Prefect"
    with pytest.raises(KeyError):
        run_flow(plain(KeyError("k")), has_ended=lambda: False, say=print)
    assert not WORK.left


def test_what_is_told_is_given_up_as_soon_as_the_server_is_gone() -> None:
    async def tell() -> None:
        threading.Timer(0.2, lambda: setattr(LINE, "is_gone", True)).start()
        with pytest.raises(ServerGone):
            await unless_gone(asyncio.sleep(60))
        with pytest.raises(ServerGone):
            await unless_gone(asyncio.sleep(60))

    began = time.monotonic()
    asyncio.run(tell())
    assert time.monotonic() - began < 2


def test_a_fault_of_ours_ends_the_process_too_where_prefect_would_keep_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("ours")

    def leave_at_once(code: int) -> None:
        raise SystemExit(f"at once with {code}")

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr("os._exit", leave_at_once)
    with pytest.raises(ZeroDivisionError):
        cli.main()
    WORK.left = asyncio.Runner()
    with pytest.raises(SystemExit, match="at once with 1"):
        cli.main()
    assert "ZeroDivisionError: ours" in capsys.readouterr().err
