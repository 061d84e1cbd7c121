"""What a flow tells Prefect: progress, a table of iterations, a summary."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from relift.phases.close import close
from relift.phases.report import summary_of
from relift.records import IterationReport, PhaseRef
from relift.run import Run
from relift.summary import RunSummary, write_summary

# A table artifact costs the server about 20 ms: often enough to watch, seldom enough not to count.
TABLE_EVERY_SECONDS = 10.0


class Announcer:
    """The artifacts of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rows: list[IterationReport] = []
        self.progress: UUID | None = None
        self.last_table = time.monotonic()

    async def start(self, iteration: int) -> None:
        self.progress = await acreate_progress_artifact(
            progress=100.0 * iteration / self.run.iterations, key=self._key("progress"), description=self.run.name
        )

    async def iteration(self, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, recorded: PhaseRef) -> None:
        """Report an iteration to the ledger, the metrics, the views and Prefect."""
        report = await asyncio.to_thread(close, self.run, iteration, rollouts, verdicts, recorded)
        self.rows.append(report)
        done = report.iteration + 1
        assert self.progress is not None
        await aupdate_progress_artifact(self.progress, progress=100.0 * done / self.run.iterations)
        if done == self.run.iterations or time.monotonic() - self.last_table > TABLE_EVERY_SECONDS:
            self.last_table = time.monotonic()
            await acreate_table_artifact([_row(r) for r in self.rows], key=self._key("iterations"))

    async def summary(self, summary: RunSummary) -> None:
        lines = ["| family | kind | base | after |", "|---|---|---|---|"]
        for name, s in summary.families.items():
            lines.append(f"| {name} | {s.kind} | {s.base:.1%} | {s.after:.1%} |")
        lines.append(f"\nReport: `{self.run.root / 'report' / 'index.html'}`; weights {summary.weights_sha256[:16]}")
        await acreate_markdown_artifact("\n".join(lines), key=self._key("summary"))

    def _key(self, what: str) -> str:
        """Artifact keys hold lower-case letters, digits and dashes alone."""
        plain = "".join(c if c.isalnum() and c.isascii() else "-" for c in self.run.name.lower())
        return f"{what}-{plain}"


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
    write_summary(run.root, summary)
    await announcer.summary(summary)
    return summary
