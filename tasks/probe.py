"""Prefect task: sample taught questions and controls again."""

from __future__ import annotations

from prefect import task

from relift.phases.probe import probe as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="probe", task_run_name="probe-{iteration}", persist_result=False)
async def probe(run: RunRef, iteration: int, version: PolicyVersion) -> PhaseRef | None:
    """What is due under the version that the iteration starts with."""
    return await in_compute("probe", body, run, iteration, version)
