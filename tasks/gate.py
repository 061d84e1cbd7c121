"""Prefect task: write an iteration's rollouts into the ledger."""

from __future__ import annotations

from prefect import task

from relift.phases.gate import record as body
from relift.records import PhaseRef
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="record", task_run_name="record-{iteration}", persist_result=False)
async def record(run: RunRef, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef) -> PhaseRef:
    """One ledger transaction; the manifest names the hardest questions."""
    return await in_compute("record", body, run, iteration, rollouts, verdicts)
