"""What the Prefect UI is told of a run must not hold the run up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from flows import artifacts
from flows.artifacts import Announcer
from relift.records import IterationReport


def report(iteration: int) -> IterationReport:
    return IterationReport(
        iteration=iteration,
        questions=1,
        rollouts=1,
        tokens=1,
        accuracy=0.5,
        statuses={},
        unsolved=0,
        solved_all=0,
        buffer=0,
        taught=0,
        updates=(),
        seconds={},
    )


def test_a_slow_server_is_told_the_newest_state_without_holding_an_iteration_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[float] = []
    tables: list[int] = []
    answer = asyncio.Event()

    async def slow(artifact: object, progress: float) -> None:
        told.append(progress)
        await answer.wait()

    async def table(rows: list[Any], **about: str) -> object:
        tables.append(len(rows))
        return uuid4()

    monkeypatch.setattr(artifacts, "aupdate_progress_artifact", slow)
    monkeypatch.setattr(artifacts, "acreate_table_artifact", table)
    store = SimpleNamespace(uri="runs/r")
    run: Any = SimpleNamespace(name="r", root=tmp_path, iterations=4, store=store, done=lambda done: done / 4)

    async def train() -> None:
        announcer = Announcer(run)
        announcer.progress = uuid4()
        for iteration in range(4):
            announcer.iteration(report(iteration))
            await asyncio.sleep(0)  # the server has not answered yet
        assert told == [25.0]
        answer.set()
        await announcer.settle()

    asyncio.run(asyncio.wait_for(train(), 10))
    assert told == [25.0, 100.0]
    assert tables == [4]
