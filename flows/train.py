"""ReLIFT as a Prefect flow: the paper's algorithm, one screen (``iterate``).

    warm_start
    questions -> rollout -> verify -> gate -+-> source ----+-> sft_update -> report_iteration -> checkpoint
                     ^- refill -'           `-> rl_update -'

Every phase finds its own finished output, so running the same run again is how it is resumed.

What differs from the published method is numbered in docs/method.md.
"""

from __future__ import annotations

import asyncio
import time

from prefect import flow

from flows.artifacts import Announcer, finish
from flows.run_name import flow_run_name
from flows.server.outage import hold_result
from flows.session import opened
from relift.config import RunConfig
from relift.phases.rounds import next_round
from relift.phases.warm_start import start_version
from relift.records import IterationReport, PhaseRef, PolicyVersion
from relift.run.run import Run
from relift.run.summary import RunSummary
from tasks.checkpoint import checkpoint
from tasks.evaluate import evaluate
from tasks.gate import gate
from tasks.iteration_report import report_iteration
from tasks.probe import probe
from tasks.refill import refill
from tasks.report import report
from tasks.rl_update import rl_update
from tasks.rollout import rollout
from tasks.sft_update import sft_update
from tasks.source import source
from tasks.trial import trial
from tasks.verify import verify
from tasks.warm_start import warm_start


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
        await announcer.start(max(0, iteration))
        start = before = await evaluate(run.ref, run.first, run.base, full=True) if config.evaluation else None
        if iteration < 0:
            iteration, version = 0, await warm_start(run.ref, version)
            await checkpoint(run.ref, iteration, version)
        if config.warm_start and config.evaluation:
            start = await evaluate(run.ref, 0, start_version(run), full=True)
        while not run.is_over(iteration):
            version, reported = await iterate(run, iteration, version)
            announcer.iteration(reported)
            iteration += 1
            if _is_evaluation_due(run, iteration):
                await evaluate(run.ref, iteration, version, full=False)
            if iteration % config.checkpoint.every == 0 or run.is_over(iteration):
                await checkpoint(run.ref, iteration, version)
        after = await evaluate(run.ref, iteration, version, full=True) if config.evaluation else None
        figures = await report(run.ref, iteration, version, before, start, after)
        return hold_result(await finish(run, announcer, figures, began))


async def iterate(run: Run, iteration: int, version: PolicyVersion) -> tuple[PolicyVersion, IterationReport]:
    """One batch of questions: rollouts, one RL pass over them and, when enough hard questions wait, fine-tuning."""
    rollouts, verdicts = await sampled(run, iteration, version)
    gated = await gate(run.ref, iteration, rollouts, verdicts)
    # The teachers are asked beside the RL update, or before it where the rule teaches in it; what has not come when
    # it is done, or begins, comes with a later iteration.
    sourcing = asyncio.create_task(source(run.ref, iteration, gated))
    first = trials = None
    if run.interleaving.needs_demonstrations_first:
        first = await sourcing
        if run.interleaving.has_trials:
            trials = await trial(run.ref, iteration, rollouts, verdicts, gated, first, version)
    try:
        with run.teachers.answering():
            version = await rl_update(run.ref, iteration, rollouts, verdicts, gated, version, first, trials)
    finally:
        sourced = await sourcing
    if run.interleaving.has_trials and first is None:
        trials = await trial(run.ref, iteration, rollouts, verdicts, gated, sourced, version)
    version = await sft_update(run.ref, iteration, rollouts, verdicts, gated, sourced, version, trials)
    return version, await report_iteration(run.ref, iteration, rollouts, verdicts, gated)


async def sampled(run: Run, iteration: int, version: PolicyVersion) -> tuple[PhaseRef, PhaseRef]:
    """Rollouts and verdicts of the batch; with ``sampling.refill``, of rounds until enough groups have signal."""
    rollouts = await rollout(run.ref, iteration, version)
    if run.interleaving.is_probe_due(iteration):
        await probe(run.ref, iteration, version)
    verdicts = await verify(run.ref, iteration, rollouts)
    while next_round(run.config, rollouts, verdicts):
        rollouts = await refill(run.ref, iteration, version, rollouts, verdicts)
        verdicts = await verify(run.ref, iteration, rollouts, verdicts)
    return rollouts, verdicts


def _is_evaluation_due(run: Run, iteration: int) -> bool:
    evaluation = run.config.evaluation
    if evaluation is None or evaluation.every is None or run.is_over(iteration):
        return False
    return iteration % evaluation.every == 0
