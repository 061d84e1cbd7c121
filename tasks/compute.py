"""Where task bodies run: long work on one dedicated thread, so that the event loop stays free (contract 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from relift.run.run import Run
from relift.run.session import RunRef

Args = ParamSpec("Args")
Result = TypeVar("Result")

# One thread: torch's settings and the resident weights belong to it, and updates are never side by side.
_compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")


async def in_compute(
    phase: str, body: Callable[Concatenate[Run, Args], Result], ref: RunRef, *args: Args.args, **kwargs: Args.kwargs
) -> Result:
    """Run a phase's body on the compute thread and time it.

    When the waiting task is cancelled the body is asked to stop, and waited for: its weights are never left in use.
    """
    return await _timed(_compute, phase, body, Run.resolve(ref), args, kwargs)


async def beside_compute(
    phase: str, body: Callable[Concatenate[Run, Args], Result], ref: RunRef, *args: Args.args, **kwargs: Args.kwargs
) -> Result:
    """The same on a thread of the loop's own, for phases that wait for the outside while an update runs."""
    return await _timed(None, phase, body, Run.resolve(ref), args, kwargs)


async def _timed(
    executor: ThreadPoolExecutor | None,
    phase: str,
    body: Callable[..., Result],
    run: Run,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Result:
    run.progress.phase(phase)
    began = run.progress.clock.begin()
    future = asyncio.get_running_loop().run_in_executor(executor, lambda: body(run, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        run.stop.set()
        await asyncio.wait([future])
        raise
    finally:
        run.progress.clock.end(phase, began)
