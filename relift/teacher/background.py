"""A thread with an event loop of its own, for what goes on beside training."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

CLOSE_SECONDS = 2.5
"""For the thread to end once all is cancelled; a verdict that hangs ends with the verifier's own worker."""


class Background:
    """Starts with the first coroutine and ends with ``close``; the process may end without waiting for it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it beside whatever else runs; nobody waits for it. From one thread at a time."""
        assert not self._is_closed, "begun after the end"
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._serve, args=(self._loop,), name="teachers", daemon=True)
            self._thread.start()
        self._loop.call_soon_threadsafe(self._add, coroutine)

    def close(self, drain_seconds: float, closing: Sequence[Callable[[], Awaitable[None]]] = ()) -> None:
        """Let what runs end by itself for so long, cancel the rest, await ``closing``, and end the thread."""
        self._is_closed = True
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(drain_seconds, closing), self._loop)
        self._thread.join(drain_seconds + CLOSE_SECONDS)
        self._loop = self._thread = None

    def _add(self, coroutine: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _end(self, drain_seconds: float, closing: Sequence[Callable[[], Awaitable[None]]]) -> None:
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=drain_seconds)
            for task in tuple(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=1.0)
            for close in closing:
                await close()
        finally:
            asyncio.get_running_loop().stop()
