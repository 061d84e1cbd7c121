"""A flow whose Prefect server may go before it ends: the run goes on without the UI, and its end waits for nobody.

Prefect reports tasks beside them, so training needs no answer of the server. Artifacts, the flow's last state and the
events that are queued when the process ends do, and each is tried again for a minute, hundreds of times.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from flows.server.address import answers, listens
from relift.errors import RunError

LOOK_SECONDS = 1.0
REFUSED_SECONDS = 3.0
SILENT_SECONDS = 20.0
"""A server that is not ours is taken for gone after so long: where nobody listens, and where nobody answers."""
GONE = (
    "the Prefect server is gone (.prefect/server.log of the folder that started it may say why): this run goes on "
    "without the UI, and loses nothing"
)
TOLD_BY_PREFECT = (
    "prefect.events.clients",
    "prefect.events.utilities",
    "prefect._internal.concurrency",
    "EventsWorker",
    "APILogWorker",
)
"""Loggers that say of every event that it was not delivered."""
HEARTBEAT = "prefect.flow-run.heartbeat"
Result = TypeVar("Result")


class Line:
    """Whether the server of this process is still there, looked at beside the work.

    One that was started here does not come back; another one may.
    """

    def __init__(self) -> None:
        self.is_gone = False
        self.has_ended: Callable[[], bool] | None = None
        """Of a server that was started here."""
        self._say: Callable[[str], None] = logging.getLogger(__name__).warning
        self._thread: threading.Thread | None = None

    def watch(self, has_ended: Callable[[], bool] | None, say: Callable[[str], None]) -> None:
        """Begin to look. ``say`` is told when the server goes, and when it is back."""
        self.has_ended, self._say, self.is_gone = has_ended, say, False
        for name in TOLD_BY_PREFECT:
            logging.getLogger(name).addFilter(self._is_worth_saying)
        self._thread = threading.Thread(target=self._look, daemon=True, name="relift-prefect-line")
        self._thread.start()

    def unwatch(self) -> None:
        self._thread = None

    def _look(self) -> None:
        me, url = self._thread, os.environ["PREFECT_API_URL"]
        heard = time.monotonic()
        while self._thread is me:
            if self.has_ended is not None:
                is_gone = self.has_ended()
            elif answers(url):
                is_gone, heard = False, time.monotonic()
            else:
                is_gone = time.monotonic() - heard > (SILENT_SECONDS if listens(url) else REFUSED_SECONDS)
            if is_gone != self.is_gone:
                self.is_gone = is_gone
                self._say(GONE if is_gone else "the Prefect server answers again")
            time.sleep(LOOK_SECONDS)

    def _is_worth_saying(self, record: logging.LogRecord) -> bool:
        """Not a heartbeat either, whose first now and then meets the flow's own first event: another one follows.

        A server that has ended is asked after here too: Prefect may fail to reach it before the next look.
        """
        is_gone = self.is_gone or (self.has_ended is not None and self.has_ended())
        return not is_gone and HEARTBEAT not in record.getMessage()


LINE = Line()


@dataclass(slots=True)
class Work:
    """What the body of the flow in this process came to, which Prefect would hand on after its last report."""

    has_begun: bool = False
    has_ended: bool = False
    value: Any = None
    problem: BaseException | None = None
    left: asyncio.Runner | None = None
    """What runs Prefect's last report, where it was left alone with it."""


WORK = Work()


def begun() -> None:
    WORK.has_begun, WORK.has_ended, WORK.problem = True, False, None


def hold_result(value: Result) -> Result:
    """What the flow is about to return, kept for the case that nobody takes its last state."""
    WORK.value = value
    return value


def ended(problem: BaseException | None = None) -> None:
    WORK.has_ended, WORK.problem = True, problem


class ServerGone(Exception):
    """Nobody takes what was to be posted."""


async def unless_gone(posting: Awaitable[Result]) -> Result:
    """Raises ServerGone as soon as the server is."""
    task = asyncio.ensure_future(posting)
    while not task.done():
        if LINE.is_gone:
            task.cancel()
            raise ServerGone("the server is gone")
        await asyncio.wait({task}, timeout=0.2)
    return task.result()


def run_flow(
    flow: Coroutine[Any, Any, Result], *, has_ended: Callable[[], bool] | None, say: Callable[[str], None]
) -> Result:
    """What ``asyncio.run`` would return or raise, also where the server went; ``leave`` must then end the process.

    Raises RunError where it went before the flow's body began.
    """
    WORK.has_begun = WORK.has_ended = False
    LINE.watch(has_ended, say)
    runner = asyncio.Runner()
    try:
        task = runner.run(_done_or_gone(flow))
    except BaseException:
        if not (LINE.is_gone and WORK.has_ended):
            runner.close()
            raise
        task = None  # a signal that Prefect answers with a report to a server that is gone
    finally:
        LINE.unwatch()
    if task is not None and task.done():
        runner.close()
        return task.result()
    WORK.left = runner
    if not WORK.has_ended:
        raise RunError(
            "the Prefect server ended before the run began: see .prefect/server.log for why, then run the same command "
            "again"
        )
    if WORK.problem is not None:
        raise WORK.problem
    value: Result = WORK.value
    return value


async def _done_or_gone(flow: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """The flow's task: done, or what is left of it is a report to a server that is gone."""
    task = asyncio.create_task(flow)
    try:
        while not task.done() and not (LINE.is_gone and (WORK.has_ended or not WORK.has_begun)):
            await asyncio.wait({task}, timeout=0.2)
    except asyncio.CancelledError:  # Ctrl-C where the flow does not handle it itself
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        raise
    return task


def leave(code: int) -> None:
    """End the process; at once where Prefect would try its events again before it let it end."""
    if WORK.left is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
