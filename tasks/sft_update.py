"""Prefect task: fine-tuning on demonstrations, when enough of them wait."""

from __future__ import annotations

from prefect import task

from relift.phases.sft_update import sft_update as body
from relift.records import PhaseRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


# Never retried by Prefect: a failed update leaves no version resident, and running again resumes from the manifests.
@task(name="sft_update", task_run_name="sft_update-{iteration}", persist_result=False)
async def sft_update(
    run: RunRef,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    gated: PhaseRef,
    sourced: PhaseRef,
    version: PolicyVersion,
    trials: PhaseRef | None = None,
) -> PolicyVersion:
    """The policy version after the update; the same one while the rule has no batch."""
    return await in_compute("sft_update", body, run, iteration, rollouts, verdicts, gated, sourced, version, trials)
