"""Prefect task: which questions of an iteration are hardest."""

from __future__ import annotations

from prefect import task

from relift.phases.gate import gate as body
from relift.records import PhaseRef
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="gate", task_run_name="gate-{iteration}", persist_result=False)
async def gate(run: RunRef, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef) -> PhaseRef:
    """One ledger transaction; what it records names the hardest questions."""
    return await in_compute("gate", body, run, iteration, rollouts, verdicts)
