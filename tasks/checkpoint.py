"""Prefect task: snapshot the run between two iterations."""

from __future__ import annotations

from prefect import task

from relift.phases.checkpoint import checkpoint as body
from relift.records import CheckpointRef, PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


@task(name="checkpoint", task_run_name="checkpoint-{iteration}", persist_result=False)
async def checkpoint(run: RunRef, iteration: int, version: PolicyVersion) -> CheckpointRef:
    """Weights, optimizers, buffer and counters before ``iteration``, and a ledger snapshot for readers."""
    return await in_compute("checkpoint", body, run, iteration, version)
