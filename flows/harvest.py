"""A harvest as a Prefect flow: the teachers are asked for what is still open, without training."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact, aupdate_progress_artifact
from prefect.runtime import deployment
from pydantic import Field

from flows.artifacts import artifact_key, tell_links, tell_progress, told
from flows.run_name import flow_run_name, require_place, run_name
from flows.server.outage import kept
from flows.session import quiet_prefect, watched
from relift.config import RunConfig
from relift.ledger.schema import SNAPSHOT
from relift.run.harvest import Harvest, HarvestReport, is_open, open_harvest, resolve
from relift.run.identity import run_root
from relift.run.run import RunRef
from tasks.harvest import ask_teachers, collect

COLLECT_SECONDS = 10.0
"""Between two looks at what came; each is a transaction of the ledger."""
PUBLISH_SECONDS = 60.0

Limit = Annotated[int, Field(ge=1, le=100_000)]


@flow(name="harvest", flow_run_name=flow_run_name, persist_result=False)
async def harvest(config: RunConfig, name: str = "", limit: Limit = 10_000) -> HarvestReport:
    """Ask the recipe's teachers for solutions of the questions that are open in the project's ledgers.

    Args:
        config: The whole configuration; its teachers are asked, and the project is what lies in its store.
        name: Of the harvest and its folder. Empty: the flow run's id, or the flow and the date in a schedule.
        limit: Open questions to ask for, hardest first. At least 1, at most 100000.
    """
    require_place(config)
    if deployment.id:
        quiet_prefect(keep_message=True)
    name = run_name(name)
    async with _opened(config, name) as room:
        asked = await ask_teachers(room.ref, limit)
        progress = await tell_progress(name)
        published = time.monotonic()
        while busy := await collect(room.ref, COLLECT_SECONDS):
            if progress is not None:
                await told(aupdate_progress_artifact(progress, progress=100.0 * (asked - busy) / asked))
            if time.monotonic() - published > PUBLISH_SECONDS:
                await asyncio.to_thread(room.publish)
                published = time.monotonic()
        if progress is not None:
            await told(aupdate_progress_artifact(progress, progress=100.0))
        report = await asyncio.to_thread(room.report)
        about = "What the harvest came to."
        await told(acreate_markdown_artifact(as_text(report), key=artifact_key("summary", name), description=about))
        await asyncio.to_thread(room.complete)  # with it the ledger is where the link leads
        await tell_links(name, room.store.uri, {"ledger": SNAPSHOT})
        return kept(report)


@asynccontextmanager
async def _opened(config: RunConfig, name: str) -> AsyncIterator[Harvest]:
    """The harvest of that name: the one the command line holds open, else one opened here."""
    ref = RunRef(uri=str(run_root(config, name)), name=name)
    if is_open(ref):
        async with watched(resolve(ref)) as room:
            yield room
        return
    with await asyncio.to_thread(open_harvest, config, name) as room:
        async with watched(room):
            yield room


def as_text(report: HarvestReport) -> str:
    """A few lines for a person."""
    if not report.open:
        return f"{report.name}: no question of the project is open, so nobody was asked."
    lines = [
        f"{report.name}: {report.solved} of {report.open} open questions solved, {report.refused} solutions refused, "
        f"{report.owed} questions not answered.",
        f"{report.answered} requests answered, {report.bought} of them by a server now or earlier under this name, the "
        f"rest known from other runs; {report.cost_usd:.4f} USD.",
    ]
    if report.trouble:
        lines.append(f"Not all were answered: {report.trouble}.")
    lines.append("The next run with these teachers finds the answers without paying for them.")
    return "\n\n".join(lines)
