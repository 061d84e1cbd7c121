"""ReLIFT as a Prefect flow: the paper's algorithm, one screen.

    questions -> rollout -> probe -> verify -> record -> source -----------> sft_update -> checkpoint
                                           `---------> rl_update (beside) --^

Departures from the paper are settings, listed in relift/config. Every phase finds its own finished output, so
running the same run again is how it is resumed.
"""

from __future__ import annotations

import asyncio
import time

from prefect import flow

from flows.artifacts import Announcer, finish
from flows.run_name import flow_run_name
from flows.server.outage import kept
from flows.session import opened
from relift.config import RunConfig
from relift.records import PolicyVersion
from relift.run.run import Run
from relift.run.summary import RunSummary
from tasks.checkpoint import checkpoint
from tasks.evaluate import evaluate
from tasks.gate import record
from tasks.probe import probe
from tasks.report import report
from tasks.rl_update import rl_update
from tasks.rollout import rollout
from tasks.sft_update import sft_update
from tasks.source import source
from tasks.verify import verify


@flow(name="train", flow_run_name=flow_run_name, persist_result=False)
async def train(config: RunConfig, name: str = "") -> RunSummary:
    """Train by ReLIFT: GRPO on every batch, fine-tuning on the questions no rollout solved.

    Args:
        config: The whole configuration of the run; what a resumed run may change is said in its settings.
        name: Of the run and its folder. Empty: the flow run's id, or the flow and the date in a schedule.
    """
    began = time.perf_counter()
    async with opened(config, name) as run:
        iteration, version = run.resume()
        announcer = Announcer(run)
        await announcer.start(iteration)
        before = await evaluate(run.ref, 0, run.base, full=True) if config.evaluation else None
        while iteration < run.iterations:
            version = await iterate(run, announcer, iteration, version)
            iteration += 1
            if _is_evaluation_due(run, iteration):
                await evaluate(run.ref, iteration, version, full=False)
            if iteration % config.checkpoint.every == 0 or iteration == run.iterations:
                await checkpoint(run.ref, iteration, version)
        after = await evaluate(run.ref, iteration, version, full=True) if config.evaluation else None
        reported = await report(run.ref, iteration, version, before, after)
        return kept(await finish(run, announcer, reported, began))


async def iterate(run: Run, announcer: Announcer, iteration: int, version: PolicyVersion) -> PolicyVersion:
    """One batch of questions: rollouts, one RL pass over them and, when enough hard questions wait, fine-tuning."""
    rollouts = await rollout(run.ref, iteration, version)
    if run.is_probe_due(iteration):
        await probe(run.ref, iteration, version)
    verdicts = await verify(run.ref, iteration, rollouts)
    recorded = await record(run.ref, iteration, rollouts, verdicts)
    # The teachers are asked beside the RL update; what has not come when it is done comes with a later iteration.
    sourcing = asyncio.create_task(source(run.ref, iteration, recorded))
    try:
        with run.teachers.answering():
            version = await rl_update(run.ref, iteration, rollouts, verdicts, version)
    finally:
        sourced = await sourcing
    version = await sft_update(run.ref, iteration, rollouts, verdicts, sourced, version)
    await announcer.iteration(iteration, rollouts, verdicts, recorded)
    return version


def _is_evaluation_due(run: Run, iteration: int) -> bool:
    evaluation = run.config.evaluation
    if evaluation is None or evaluation.every is None or iteration >= run.iterations:
        return False
    return iteration % evaluation.every == 0
