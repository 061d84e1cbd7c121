"""The end of an iteration: what it came to, in the ledger, in metrics.jsonl and for whoever looks on."""

from __future__ import annotations

import time

from relift.phases.phase import place_of
from relift.phases.updates import reports_of
from relift.phases.verify import groups_of
from relift.records import IterationReport, PhaseRef, Status
from relift.run.progress import METRICS, pick_examples
from relift.run.run import Run


def report_iteration(
    run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, gated: PhaseRef
) -> IterationReport:
    """Report the iteration. On resume the recorded ones are reported to the views again, and written only once."""
    rl = reports_of(run, place_of(iteration, "rl_update"))
    sft = reports_of(run, place_of(iteration, "sft_update"))
    used = run.ledger.execute("SELECT count(*) FROM uses WHERE iteration = ?", [iteration])[0][0]
    report = IterationReport(
        iteration=iteration,
        questions=int(rollouts.counts["questions"]),
        rollouts=int(rollouts.counts["rollouts"]),
        tokens=int(rollouts.counts["tokens"]),
        accuracy=gated.counts["correct"] / gated.counts["rollouts"],
        statuses={status.value: int(verdicts.counts.get(status.value, 0)) for status in Status},
        unsolved=int(gated.counts["hardest"]),
        solved_all=int(gated.counts["solved_all"]),
        buffer=len(run.interleaving.buffer),
        taught=used,
        updates=rl + sft,
        seconds=run.progress.clock.take(),
        mean_tokens=rollouts.counts["tokens"] / rollouts.counts["rollouts"],
    )
    run.ledger.record_iteration(run.key(place_of(iteration, "report_iteration")), report)
    examples = pick_examples(groups_of(run, rollouts, verdicts))
    run.progress.iteration(run.root / METRICS, report, examples)
    if time.monotonic() - run.published_at > run.config.ledger.publish_seconds:
        run.publish_beside()
    return report
