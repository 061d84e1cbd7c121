"""Prefect task: one GRPO update."""

from __future__ import annotations

from prefect import task

from relift.phases.rl_update import rl_update as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


# Never retried by Prefect: a failed update leaves no version resident, and running again resumes from the manifests.
@task(name="rl_update", task_run_name="rl_update-{iteration}", persist_result=False)
async def rl_update(
    run: RunRef,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    gated: PhaseRef,
    version: PolicyVersion,
    sourced: PhaseRef | None = None,
    trials: PhaseRef | None = None,
) -> PolicyVersion:
    """The policy version after the update."""
    return await in_compute("rl_update", body, run, iteration, rollouts, verdicts, gated, version, sourced, trials)
