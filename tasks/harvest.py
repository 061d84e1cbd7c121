"""Prefect tasks: the open questions of the project are handed to the teachers, and what they answer is recorded."""

from __future__ import annotations

import asyncio

from prefect import task

from relift.run.harvest import Harvest
from relift.run.session import RunRef


@task(name="ask_teachers", persist_result=False)
async def ask_teachers(harvest: RunRef, limit: int) -> int:
    """How many open questions were handed in."""
    return await asyncio.to_thread(Harvest.resolve(harvest).ask, limit)


@task(name="collect", persist_result=False)
async def collect(harvest: RunRef, seconds: float) -> int:
    """Wait so long at most and record what came; how many questions are still being asked."""
    return await asyncio.to_thread(Harvest.resolve(harvest).collect, seconds)
