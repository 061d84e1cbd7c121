"""A harvest as a Prefect flow: the teachers are asked for what is still open, without training."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact, aupdate_progress_artifact
from pydantic import Field

from flows.artifacts import artifact_key, post_links, post_progress, posted
from flows.run_name import flow_run_name
from flows.server.outage import hold_result
from flows.session import opened_by
from relift.config import RunConfig
from relift.ledger.schema import SNAPSHOT
from relift.opening.harvest import open_harvest
from relift.run.harvest import Harvest, HarvestReport
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
    async with opened_by(Harvest, open_harvest, config, name) as opened:
        asked = await ask_teachers(opened.ref, limit)
        progress = await post_progress(opened.name)
        while busy := await collect(opened.ref, COLLECT_SECONDS):
            if progress is not None:
                await posted(aupdate_progress_artifact(progress, progress=100.0 * (asked - busy) / asked))
            if time.monotonic() - opened.published_at > PUBLISH_SECONDS:
                await asyncio.to_thread(opened.publish)
        if progress is not None:
            await posted(aupdate_progress_artifact(progress, progress=100.0))
        report = await asyncio.to_thread(opened.report)
        about = "What the harvest came to."
        key = artifact_key("summary", opened.name)
        await posted(acreate_markdown_artifact(as_text(report), key=key, description=about))
        await asyncio.to_thread(opened.complete)  # with it the ledger is where the link leads
        await post_links(opened.name, opened.store.uri, {"ledger": SNAPSHOT})
        return hold_result(report)


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
