"""The end of an iteration: what it came to, in the ledger, in metrics.jsonl and for whoever looks on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from relift.phases.rounds import lacking
from relift.phases.updates import reports_of
from relift.phases.verify import groups_of
from relift.records import IterationReport, PhaseRef, RewardStatus, RolloutGroup, Status
from relift.run.progress import METRICS, pick_examples
from relift.run.recorded import RolloutRecord, phase_key, read
from relift.run.run import Run
from relift.run.spending import spent_in


def report_iteration(
    run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, gated: PhaseRef
) -> IterationReport:
    """Report the iteration. On resume the recorded ones are reported to the views again, and written only once."""
    rl = reports_of(run, phase_key(iteration, "rl_update"))
    sft = reports_of(run, phase_key(iteration, "sft_update"))
    groups = groups_of(run, rollouts, verdicts)
    taught = "SELECT count(*) FROM uses WHERE prefix_tokens IS NULL AND iteration = ?"
    run.spent = replace(run.spent + spent_in(run.store, iteration), demonstrations=len(run.interleaving.taught))
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
        taught=run.ledger.execute(taught, [iteration])[0][0],
        updates=rl + sft,
        seconds=run.progress.clock.take(),
        mean_tokens=rollouts.counts["tokens"] / rollouts.counts["rollouts"],
        rewards=_reward_means(groups),
        spent=run.spent,
        signal=int(gated.counts["signal"]),
        rounds=rollouts.rounds,
        lacking=lacking(run.config, verdicts),
    )
    # All that the iteration recorded is there: the next one begins after it.
    run.order.advance(iteration, read(run.store, rollouts.keys[-1], RolloutRecord).position, groups)
    run.ledger.record_iteration(run.batch_key(phase_key(iteration, "report_iteration")), report)
    examples = pick_examples(groups)
    run.progress.iteration(run.root / METRICS, report, examples)
    if time.monotonic() - run.published_at > run.config.ledger.publish_seconds:
        run.publish_beside()
    return report


def _reward_means(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    """As ``IterationReport.rewards`` says."""
    asked = [r for group in groups for r in group.rollouts if r.reward_status is not None]
    if not asked:
        return {}
    given = [r for r in asked if r.reward_status is RewardStatus.GIVEN]
    values: dict[str, list[float]] = {"reward": [r.reward for r in given if r.reward is not None]}
    for rollout in given:
        for name, value in rollout.reward_parts:
            values.setdefault(f"reward/{name}", []).append(value)
    means = {name: statistics.fmean(found) for name, found in sorted(values.items()) if found}
    return {**means, "failed": 1 - len(given) / len(asked)}
