"""What a flow tells Prefect: progress, a table of iterations, a summary."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from relift.identity import SUMMARY_FILE
from relift.phases.close import close
from relift.phases.report import summary_of
from relift.records import EvalResult, IterationReport, PhaseRef
from relift.run import Run
from relift.summary import RunSummary, write_summary

# A table artifact costs the server about 20 ms: often enough to watch, seldom enough not to count.
TABLE_EVERY_SECONDS = 10.0
Kept = TypeVar("Kept")
log = logging.getLogger(__name__)


class Announcer:
    """The artifacts of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rows: list[IterationReport] = []
        self.progress: UUID | None = None
        self.last_table = time.monotonic()

    async def start(self, iteration: int) -> None:
        self.progress = await _told(
            acreate_progress_artifact(
                progress=100.0 * iteration / self.run.iterations,
                key=artifact_key("progress", self.run.name),
                description=self.run.name,
            )
        )

    async def iteration(self, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, recorded: PhaseRef) -> None:
        """Report an iteration to the ledger, the metrics, the views and Prefect."""
        began = self.run.progress.clock.begin()
        report = await asyncio.to_thread(close, self.run, iteration, rollouts, verdicts, recorded)
        self.run.progress.clock.end("close", began)
        self.rows.append(report)
        done = report.iteration + 1
        if self.progress is not None:
            await _told(aupdate_progress_artifact(self.progress, progress=100.0 * done / self.run.iterations))
        if done == self.run.iterations or time.monotonic() - self.last_table > TABLE_EVERY_SECONDS:
            self.last_table = time.monotonic()
            await _told(
                acreate_table_artifact([_row(r) for r in self.rows], key=artifact_key("iterations", self.run.name))
            )

    async def summary(self, summary: RunSummary) -> None:
        lines = ["| family | kind | base | after |", "|---|---|---|---|"]
        for name, s in summary.families.items():
            lines.append(f"| {name} | {s.kind} | {s.base:.1%} | {s.after:.1%} |")
        if summary.teacher:
            lines.append(f"\nTeacher: {summary.teacher}")
        lines.append(f"\nReport: `{self.run.root / 'report' / 'index.html'}`; weights {summary.weights_sha256[:16]}")
        await _told(acreate_markdown_artifact("\n".join(lines), key=artifact_key("summary", self.run.name)))


async def _told(artifact: Awaitable[Kept]) -> Kept | None:
    """Artifacts are to be looked at: a server that cannot keep one does not stop the training."""
    try:
        return await artifact
    except Exception as problem:
        log.warning("Prefect did not keep an artifact: %s", problem)
        return None


def _row(report: IterationReport) -> dict[str, str | int | float]:
    return {
        "iteration": report.iteration,
        "accuracy": round(report.accuracy, 4),
        "unsolved": report.unsolved,
        "buffer": report.buffer,
        "taught": report.taught,
        "tokens": report.tokens,
        "seconds": round(sum(report.seconds.values()), 2),
    }


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


async def tell_evaluation(run: Run, results: Sequence[EvalResult]) -> None:
    """The evaluation as a table on the flow run's page."""
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
    await _told(acreate_table_artifact(rows, key=artifact_key("evaluation", run.name)))


def artifact_key(what: str, run: str) -> str:
    """Artifact keys hold lower-case letters, digits and dashes alone."""
    plain = "".join(c if c.isalnum() and c.isascii() else "-" for c in run.lower())
    return f"{what}-{plain}"
