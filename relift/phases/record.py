"""Write an iteration's rollouts into the ledger and say which questions are hardest."""

from __future__ import annotations

from collections import Counter

from relift.interleave import is_control
from relift.phases.phase import finish, finished, place_of
from relift.phases.verify import groups_of
from relift.records import PhaseRef, Purpose
from relift.run import Run
from relift.store.manifest import digest


def record(run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef) -> PhaseRef:
    """One idempotent ledger transaction; the manifest's facts name the hardest and the control questions."""
    inputs = digest(run.fingerprint, rollouts.sha256, verdicts.sha256)
    ref = finished(run, iteration, "record", inputs)
    key = run.key(place_of(iteration, "record"))
    if ref and run.ledger.has(key):
        return ref
    groups = groups_of(run, rollouts, verdicts)
    hardest = [g.question.id for g in groups if run.gate.is_hardest(g)]
    share = run.config.sft.control_share if run.config.sft else 0.0
    control = [question for question in hardest if is_control(question, share)]
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
