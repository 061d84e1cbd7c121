"""Prefect task: see where beginnings of completions lead that the rule gives."""

from __future__ import annotations

from prefect import task

from relift.phases.trial import trial as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="trial", task_run_name="trial-{iteration}", persist_result=False)
async def trial(
    run: RunRef,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    gated: PhaseRef,
    sourced: PhaseRef,
    version: PolicyVersion,
) -> PhaseRef | None:
    """What the rule wants continued, under the version before the RL update or after it."""
    return await in_compute("trial", body, run, iteration, rollouts, verdicts, gated, sourced, version)
