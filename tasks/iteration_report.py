"""Prefect task: an iteration's line in the ledger and in the metrics."""

from __future__ import annotations

from prefect import task

from relift.phases.iteration_report import report_iteration as body
from relift.records import IterationReport, PhaseRef
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="report_iteration", task_run_name="report_iteration-{iteration}", persist_result=False)
async def report_iteration(
    run: RunRef, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, gated: PhaseRef
) -> IterationReport:
    """What the iteration came to, once it is written."""
    return await in_compute("report_iteration", body, run, iteration, rollouts, verdicts, gated)
