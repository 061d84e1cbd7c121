"""Prefect task: sample more questions for an iteration that lacks groups with signal."""

from __future__ import annotations

from prefect import task

from relift.phases.refill import refill as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="refill", task_run_name="refill-{iteration}", persist_result=False)
async def refill(
    run: RunRef, iteration: int, version: PolicyVersion, rollouts: PhaseRef, verdicts: PhaseRef
) -> PhaseRef:
    """The rounds of rollouts so far and one more."""
    return await in_compute("rollout", body, run, iteration, version, rollouts, verdicts)
