"""Evaluation as a Prefect flow: a recipe's model on its held-out questions and benchmarks, without training."""

from __future__ import annotations

import asyncio

from prefect import flow
from prefect.artifacts import aupdate_progress_artifact

from flows.artifacts import post_evaluation, post_progress, posted
from flows.run_name import flow_run_name
from flows.server.outage import hold_result
from flows.session import opened
from relift.config import RunConfig
from relift.phases.evaluate import results_of
from relift.phases.report import report_evaluation
from relift.records import EvalResult
from tasks.evaluate import evaluate as evaluate_task


@flow(name="evaluate", flow_run_name=flow_run_name, persist_result=False)
async def evaluate(config: RunConfig, name: str = "") -> list[EvalResult]:
    """Results by benchmark of the model that the recipe starts from; in the ledger of the run of that name.

    Args:
        config: The whole configuration; its model is evaluated on its held-out questions and benchmarks.
        name: Of the run and its folder. Empty: the flow run's id, or the flow and the date in a schedule.
    """
    async with opened(config, name, teaches=False) as run:
        progress = await post_progress(run.name)
        ref = await evaluate_task(run.ref, run.first, run.base, full=True)
        results = results_of(run, ref)
        await asyncio.to_thread(report_evaluation, run, results)
        await asyncio.to_thread(run.complete)  # with it the ledger is where the links lead
        await post_evaluation(run, results)
        if progress is not None:
            await posted(aupdate_progress_artifact(progress, progress=100.0))
        return hold_result(results)
