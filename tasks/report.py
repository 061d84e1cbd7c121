"""Prefect task: the figures, the HTML page and the exported model of a run."""

from __future__ import annotations

from prefect import task

from relift.phases.report import report as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="report", task_run_name="report-{iteration}", persist_result=False)
async def report(
    run: RunRef,
    iteration: int,
    version: PolicyVersion,
    before: PhaseRef | None,
    start: PhaseRef | None,
    after: PhaseRef | None,
) -> PhaseRef:
    """Everything a person looks at when the run is done."""
    return await in_compute("report", body, run, iteration, version, before, start, after)
