"""Prefect task: held-out evaluation."""

from __future__ import annotations

from prefect import task

from relift.phases.evaluate import evaluate as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="evaluate", task_run_name="evaluate-{iteration}", persist_result=False)
async def evaluate(run: RunRef, iteration: int, version: PolicyVersion, full: bool) -> PhaseRef:
    """Results by benchmark of a policy version."""
    return await in_compute("evaluate", body, run, iteration, version, full)
