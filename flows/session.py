"""A run around a flow: opened, told of signals, and closed with the right status whatever happens."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from prefect.runtime import flow_run

from relift.config import RunConfig
from relift.errors import Interrupted, UserError
from relift.identity import run_root
from relift.interrupt import StopFlag
from relift.ledger import RunStatus
from relift.opening import open_run
from relift.run import Run, RunRef, is_open, resolve

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def opened(config: RunConfig, name: str) -> AsyncIterator[Run]:
    """The run of that name, or of the flow run's id: the one the command line holds open, else one opened here."""
    name = name or str(flow_run.get_id())
    ref = RunRef(uri=str(run_root(config, name)), name=name)
    if is_open(ref):
        async with _watched(resolve(ref)) as run:
            yield run
        return
    with await asyncio.to_thread(open_run, config, name) as run:
        async with _watched(run):
            yield run


@asynccontextmanager
async def _watched(run: Run) -> AsyncIterator[Run]:
    run.ledger.set_status(RunStatus.RUNNING)
    try:
        with _stopped_by_signals(run.stop):
            yield run
    except (Interrupted, asyncio.CancelledError):
        run.ledger.set_status(RunStatus.INTERRUPTED)
        raise
    except BaseException:
        run.ledger.set_status(RunStatus.FAILED)
        raise
    else:
        run.ledger.set_status(RunStatus.FINISHED)
    finally:
        run.publish()


@contextmanager
def _stopped_by_signals(stop: StopFlag) -> Iterator[None]:
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

    def filter(self, record: logging.LogRecord) -> bool:
        problem = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        return not isinstance(problem, Interrupted | UserError)


def quiet_prefect() -> None:
    """Install the filter on the loggers of flow and task runs."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(WithoutTracebacksOfUsers())
