"""Prefect task: sample the questions of an iteration."""

from __future__ import annotations

from prefect import task

from relift.phases.rollout import rollout as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="rollout", task_run_name="rollout-{iteration}", persist_result=False)
async def rollout(run: RunRef, iteration: int, version: PolicyVersion) -> PhaseRef:
    """Completions of the iteration's batch under a policy version."""
    return await in_compute("rollout", body, run, iteration, version)
