"""Prefect task: demonstrations of the hardest questions."""

from __future__ import annotations

from typing import Any

from prefect import State, task

from relift.errors import ReliftError
from relift.phases.source import source as body
from relift.records import PhaseRef
from relift.run.session import RunRef
from tasks.compute import beside_compute


def is_worth_retrying(task: Any, task_run: Any, state: State[Any]) -> bool:
    """Not what relift raised on purpose: a run that was asked to stop would wait for its retries first."""
    return not isinstance(state.data, ReliftError)


# The one phase that talks to the outside, hence the one with retries; what it was answered is in the ledger.
@task(
    name="source",
    task_run_name="source-{iteration}",
    persist_result=False,
    retries=2,
    retry_delay_seconds=[1, 10],
    retry_condition_fn=is_worth_retrying,
)
async def source(run: RunRef, iteration: int, recorded: PhaseRef) -> PhaseRef:
    """Solutions from the teachers, admitted or refused; runs beside the RL update."""
    return await beside_compute("source", body, run, iteration, recorded)
