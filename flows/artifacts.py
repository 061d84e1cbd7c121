"""What a flow posts to Prefect: progress, a table of iterations, a summary."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar
from uuid import UUID

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from flows.artifact_text import (
    Row,
    evaluation_text,
    iteration_line,
    iteration_rows,
    link_to,
    path_of,
    summary_text,
)
from flows.server.outage import ServerGone, unless_gone
from flows.terminal.text import position
from relift.ledger.schema import SNAPSHOT
from relift.phases.report import summary_of
from relift.records import EvalResult, IterationReport, PhaseRef
from relift.run.identity import SUMMARY_FILE
from relift.run.progress import METRICS, read_metrics
from relift.run.run import Run
from relift.run.summary import RunSummary, write_summary

# A table artifact costs the server about 20 ms: often enough to watch, seldom enough not to count.
TABLE_EVERY_SECONDS = 10.0
REPORT = "report/index.html"
Artifact = TypeVar("Artifact")
log = logging.getLogger(__name__)


class Announcer:
    """The artifacts of one run, posted beside the training: a server that is slow to keep them does not hold it up."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.reports: list[Mapping[str, Any]] = []
        """Of all iterations, those of earlier processes too."""
        self.progress: UUID | None = None
        self.table: UUID | None = None
        self.last_table = time.monotonic()
        self.posting: asyncio.Task[None] | None = None
        """The newest state on its way to the server; what comes meanwhile goes with the next one."""

    async def start(self, iteration: int) -> None:
        self.reports = [r for r in read_metrics(self.run.root / METRICS) if r["iteration"] < iteration]
        path = path_of(self.uri, "")
        log.info("run %s in %s, from %s", self.run.name, path, position(iteration + 1, self.run.iterations, of=" of "))
        self.progress = await posted(
            acreate_progress_artifact(
                progress=100.0 * self.run.done(iteration),
                key=artifact_key("progress", self.run.name),
                description=self.run.name,
            )
        )

    def iteration(self, report: IterationReport) -> None:
        """Show what an iteration came to."""
        self.reports.append(asdict(report))
        log.info("%s", iteration_line(report, self.run.iterations))
        if self.posting is None or self.posting.done():
            is_due = time.monotonic() - self.last_table > TABLE_EVERY_SECONDS
            self.posting = asyncio.create_task(self._post(with_table=is_due))

    async def summary(self, summary: RunSummary) -> None:
        await self.settle()
        text = summary_text(summary, self.reports, uri=self.uri, has_snapshot=True)
        about = "What the run came to, what it took and where everything lies."
        await posted(acreate_markdown_artifact(text, key=artifact_key("summary", self.run.name), description=about))
        await post_links(self.run.name, self.uri, {"report": REPORT, "model": "model"})

    @property
    def uri(self) -> str:
        return self.run.store.uri

    async def settle(self) -> None:
        """Wait until the server has the last state."""
        if self.posting is not None:
            await self.posting
        if self.reports:
            await self._post(with_table=True)

    async def _post(self, *, with_table: bool) -> None:
        if self.progress is not None:
            await posted(aupdate_progress_artifact(self.progress, progress=100.0 * self.run.done(len(self.reports))))
        if with_table:
            self.last_table = time.monotonic()
            await posted(self._show_table(iteration_rows(self.reports)))

    async def _show_table(self, rows: list[Row]) -> None:
        """One artifact, kept up to date: another one every few seconds would fill the server's database."""
        if self.table is None:
            about = f"The latest iterations, newest first; all of them in {path_of(self.uri, METRICS)}"
            key = artifact_key("iterations", self.run.name)
            self.table = await acreate_table_artifact(rows, key=key, description=about)
            return
        async with get_client() as client:
            await client.update_artifact(self.table, ArtifactUpdate(data=json.dumps(rows)))


async def posted(artifact: Awaitable[Artifact]) -> Artifact | None:
    """Artifacts are to be looked at: a server that cannot keep one does not stop the training."""
    try:
        return await unless_gone(artifact)
    except ServerGone:  # which was said already
        return None
    except Exception as problem:
        log.warning("Prefect did not keep an artifact: %s", problem)
        return None


async def finish(run: Run, announcer: Announcer, reported: PhaseRef, began: float) -> RunSummary:
    """Write summary.json, the last file of a run, with the flow's own times and show the summary in Prefect."""
    wall = time.perf_counter() - began
    share = max(0.0, wall - run.progress.clock.busy_seconds) / wall
    summary = summary_of(run, reported).timed(
        seconds=wall, prefect_share=share, prefect_start_s=run.progress.prefect_start_seconds
    )
    await announcer.summary(summary)
    await asyncio.to_thread(run.complete)
    # Last of all: whoever finds it takes the run for finished.
    write_summary(run.root, summary)
    await asyncio.to_thread(run.store.put_file, SUMMARY_FILE)
    return summary


async def post_progress(name: str) -> UUID | None:
    """A progress bar at 0 on the flow run's page, to be updated."""
    return await posted(acreate_progress_artifact(progress=0.0, key=artifact_key("progress", name), description=name))


async def post_links(name: str, uri: str, paths: Mapping[str, str]) -> None:
    """A link to each artifact, by what it is and its path below the run's URI."""
    for what, path in paths.items():
        await posted(
            acreate_link_artifact(
                link_to(uri, path),
                link_text=path_of(uri, path),
                key=artifact_key(what, name),
                description=f"The run's {what}, on the machine or in the bucket where it ran.",
            )
        )


async def post_evaluation(run: Run, results: Sequence[EvalResult]) -> None:
    """The evaluation on the flow run's page: a table, a summary with where everything lies, and links."""
    rows = [
        {
            "benchmark": r.benchmark,
            "questions": r.questions,
            "k": r.k,
            "avg@k": round(r.avg_at_k, 4),
            "low": round(r.low, 4),
            "high": round(r.high, 4),
            "pass@k": round(r.pass_at_k, 4),
        }
        for r in results
    ]
    about = "Shares of correct completions, with their 95 % intervals."
    await posted(acreate_table_artifact(rows, key=artifact_key("evaluation", run.name), description=about))
    text = evaluation_text(run.name, run.config.policy.model, results, uri=run.store.uri)
    about = "What the evaluation came to and where everything lies."
    await posted(acreate_markdown_artifact(text, key=artifact_key("summary", run.name), description=about))
    await post_links(run.name, run.store.uri, {"report": REPORT, "ledger": SNAPSHOT})


def artifact_key(what: str, run: str) -> str:
    """Artifact keys hold lower-case letters, digits and dashes alone."""
    plain = "".join(c if c.isalnum() and c.isascii() else "-" for c in run.lower())
    return f"{what}-{plain}"
