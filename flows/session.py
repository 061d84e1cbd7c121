"""A run around a flow: opened, told of signals, and closed with the right status whatever happens."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TypeVar

from prefect.logging.handlers import APILogWorker, PrefectConsoleHandler
from prefect.runtime import deployment
from rich.console import Console

from flows.run_name import require_project, run_name
from flows.server.outage import LINE, begun, ended
from relift import errors
from relift.config import RunConfig
from relift.errors import Interrupted, SelfCheckFailed, UserError
from relift.interrupt import StopFlag
from relift.ledger import RunStatus
from relift.opening.run import open_run
from relift.run.identity import run_root
from relift.run.run import Run
from relift.run.session import RunRef, Session

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


Open = TypeVar("Open", bound=Session)


@asynccontextmanager
async def opened(config: RunConfig, name: str, *, teaches: bool = True) -> AsyncIterator[Run]:
    """The run of that name: the one the command line holds open, else one opened here. See ``run_name``."""
    async with opened_by(Run, partial(open_run, teaches=teaches), config, name) as run:
        yield run


@asynccontextmanager
async def opened_by(
    kind: type[Open], make: Callable[[RunConfig, str], Open], config: RunConfig, name: str
) -> AsyncIterator[Open]:
    """The session of that kind and name: the one the command line holds open, else one that ``make`` opens here."""
    require_project(config)
    if deployment.id:
        quiet_prefect(keep_message=True)
    name = run_name(name)
    ref = RunRef(uri=str(run_root(config, name)), name=name)
    if kind.is_open(ref):
        async with watched(kind.resolve(ref)) as session:
            yield session
        return
    with await asyncio.to_thread(make, config, name) as session:
        async with watched(session):
            yield session


@asynccontextmanager
async def watched(run: Open) -> AsyncIterator[Open]:
    await asyncio.to_thread(run.ledger.set_status, RunStatus.RUNNING)
    with _told_of_its_end():
        try:
            with stopped_by_signals(run.stop):
                yield run
        except (Interrupted, asyncio.CancelledError):
            _end(run, RunStatus.INTERRUPTED)
            raise
        except BaseException:
            _end(run, RunStatus.FAILED)
            raise
        else:
            await asyncio.to_thread(run.complete)


@contextmanager
def _told_of_its_end() -> Iterator[None]:
    """What the work came to, for whoever waits for more than Prefect's last report."""
    begun()
    try:
        yield
    except BaseException as problem:
        ended(problem)
        raise
    ended()


def _end(run: Session, status: RunStatus) -> None:
    """Not awaited: the loop may be on its way out, and nothing else of the run moves any more.

    What goes wrong here is logged alone: what ended the run is what its user has to hear.
    """
    try:
        run.end(status)
    except Interrupted:
        log.warning("the snapshot that readers open is of an earlier moment, the ledger itself is kept")
    except Exception as problem:
        log.warning("the last snapshot of the ledger was not published, the ledger itself is kept: %s", problem)


@contextmanager
def stopped_by_signals(stop: StopFlag) -> Iterator[None]:
    """SIGINT and SIGTERM set the flag that long work looks at; the handlers that were there come back afterwards."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            loop.add_signal_handler(number, stop.set)
    except (RuntimeError, ValueError):  # not the main thread: whoever runs the flow there has the signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


class WithoutTracebacksOfUsers(logging.Filter):
    """Keeps Prefect from logging a traceback for what is no fault of the code; the run's state still says it."""

    def __init__(self, *, keep_message: bool) -> None:
        super().__init__()
        self.keep_message = keep_message

    def filter(self, record: logging.LogRecord) -> bool:
        problem = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(problem, Interrupted | UserError | SelfCheckFailed):
            record.exc_info = None
            record.exc_text = None
            return self.keep_message
        named = re.search(r"exception:? (\w+)", record.getMessage())
        kind = getattr(errors, named[1], None) if named else None
        is_ours = isinstance(kind, type) and issubclass(kind, Interrupted | UserError | SelfCheckFailed)
        return self.keep_message or not is_ours


def quiet_prefect(*, keep_message: bool = False) -> None:
    """Install the filter on the loggers of flow and task runs.

    ``keep_message``: the message stays, and what relift says of its work is kept too, for the logs on a flow run's
    page; a terminal gets both from the command.
    """
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(WithoutTracebacksOfUsers(keep_message=keep_message))
    if keep_message:
        for layer in ("relift", "flows"):
            logging.getLogger(layer).setLevel(logging.INFO)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, PrefectConsoleHandler):
                _survive_a_closed_pipe(handler.console)


def _survive_a_closed_pipe(console: Console) -> None:
    """A worker reads what its flow runs print; when it is gone, rich would end the process at the next line."""

    def fall_silent() -> None:
        console.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # what anything else prints is lost too, but does not raise
            os.dup2(nowhere, stream)
        os.close(nowhere)

    console.on_broken_pipe = fall_silent  # type: ignore[method-assign]


def flush_prefect() -> None:
    """Send what is queued for the server's log before our own server goes."""
    if LINE.is_gone:
        return
    with suppress(Exception):  # nor does one that is going, and the run has said what it had to say
        APILogWorker.drain_all(timeout=3)
