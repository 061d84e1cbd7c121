"""Prefect task: demonstrations of the hardest questions."""

from __future__ import annotations

from prefect import task

from relift.phases.source import source as body
from relift.records import PhaseRef
from relift.run import RunRef
from tasks.compute import beside_compute


# The one phase that talks to the outside, hence the one with retries; what it was answered is in the ledger.
@task(name="source", task_run_name="source-{iteration}", persist_result=False, retries=2, retry_delay_seconds=[1, 10])
async def source(run: RunRef, iteration: int, recorded: PhaseRef) -> PhaseRef:
    """Solutions from the teachers, admitted or refused; runs beside the RL update."""
    return await beside_compute("source", body, run, iteration, recorded)
