"""Write an iteration's rollouts into the ledger and say which questions are hardest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from relift.interleave import is_control
from relift.phases.phase import finish, finished, place_of
from relift.phases.verify import groups_of
from relift.records import PhaseRef, Purpose, RolloutGroup
from relift.run.run import Run
from relift.store.manifest import digest


def record(run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef) -> PhaseRef:
    """One idempotent ledger transaction; the manifest's facts name the hardest and the control questions."""
    inputs = digest(run.fingerprint, rollouts.sha256, verdicts.sha256)
    ref = finished(run, iteration, "record", inputs)
    key = run.key(place_of(iteration, "record"))
    if ref and run.ledger.has(key):
        return ref
    groups = groups_of(run, rollouts, verdicts)
    hardest, control = hardest_and_control(run, groups)
    run.ledger.record_attempts(key, iteration, groups, purpose=Purpose.TRAIN, hardest=hardest, control=control)
    if ref:
        return ref
    statuses = Counter(r.verdict.status.value for g in groups for r in g.rollouts)
    return finish(
        run,
        iteration,
        "record",
        {},
        inputs=inputs,
        counts={
            "rollouts": statuses.total(),
            "correct": statuses["correct"],
            "hardest": len(hardest),
            "control": len(control),
            "solved_all": sum(g.accuracy == 1 for g in groups),
            "signal": sum(g.has_signal for g in groups),
        },
        facts={"hardest": hardest, "control": control},
    )


def hardest_and_control(run: Run, groups: Iterable[RolloutGroup]) -> tuple[list[str], list[str]]:
    """Ids of the questions that the gate calls hardest, and of those among them that are never taught."""
    hardest = [group.question.id for group in groups if run.gate.is_hardest(group)]
    share = run.config.sft.control_share if run.config.sft else 0.0
    return hardest, [question for question in hardest if is_control(question, share)]
