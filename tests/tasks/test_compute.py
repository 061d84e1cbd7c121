"""A task never blocks the event loop (contract 8)."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from relift.errors import Interrupted
from relift.opening.run import open_run
from relift.phases.gate import gate
from relift.phases.rollout import rollout as sample
from relift.phases.verify import verify as check
from relift.run.run import Run
from tasks.compute import in_compute
from tasks.rl_update import rl_update
from tests.small_run import small_config


def test_a_ticker_advances_while_an_update_computes(tmp_path: Path) -> None:
    config = small_config(tmp_path, "questions.batch_size=64", "rollout.samples=8", "rl.questions_per_update=32")
    with open_run(config, "ticker") as run:
        rollouts = sample(run, 0, run.base)
        verdicts = check(run, 0, rollouts)
        gated = gate(run, 0, rollouts, verdicts)
        ticks = 0

        async def both() -> float:
            async def ticker() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.005)
                    ticks += 1

            ticking = asyncio.create_task(ticker())
            began = time.perf_counter()
            await rl_update.fn(run.ref, 0, rollouts, verdicts, gated, run.base)
            ticking.cancel()
            return time.perf_counter() - began

        seconds = asyncio.run(both())
        assert seconds > 0.05, "too short to show anything"
        assert ticks > seconds / 0.005 / 10, f"{ticks} ticks in {seconds:.2f} s"


def test_bodies_run_one_at_a_time_on_one_thread_of_their_own(tmp_path: Path) -> None:
    with open_run(small_config(tmp_path), "threads") as run:
        seen: list[int] = []
        running = 0

        def body(run: Run) -> int:
            nonlocal running
            running += 1
            assert running == 1
            time.sleep(0.01)
            running -= 1
            seen.append(threading.get_ident())
            return len(seen)

        async def three() -> list[int]:
            return await asyncio.gather(*(in_compute("test", body, run.ref) for _ in range(3)))

        assert sorted(asyncio.run(three())) == [1, 2, 3]
        assert len(set(seen)) == 1
        assert seen[0] != threading.get_ident()


def test_a_cancelled_task_asks_its_body_to_stop_and_waits_for_it(tmp_path: Path) -> None:
    with open_run(small_config(tmp_path), "cancel") as run:
        ended = threading.Event()

        def body(run: Run) -> None:
            try:
                while True:
                    run.stop.check()
                    time.sleep(0.005)
            finally:
                ended.set()

        async def cancelled() -> None:
            task = asyncio.create_task(in_compute("test", body, run.ref))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended.is_set(), "the body was still running when the task was gone"

        asyncio.run(cancelled())
        with pytest.raises(Interrupted):
            run.stop.check()
