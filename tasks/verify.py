"""Prefect task: compare completions with gold answers."""

from __future__ import annotations

from prefect import task

from relift.phases.verify import verify as body
from relift.records import PhaseRef
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="verify", task_run_name="verify-{iteration}", persist_result=False)
async def verify(run: RunRef, iteration: int, rollouts: PhaseRef, before: PhaseRef | None = None) -> PhaseRef:
    """Verdict and reward of every rollout; ``before`` are those of earlier rounds."""
    return await in_compute("verify", body, run, iteration, rollouts, before)
