"""Write an iteration's rollouts into the ledger and say which questions are hardest."""

from __future__ import annotations

from collections import Counter

from relift.phases.phase import finish, finished, phase_key
from relift.phases.verify import groups_of
from relift.records import PhaseRef, Purpose
from relift.run.recorded import GateRecord
from relift.run.run import Run
from relift.store.manifest import digest


def gate(run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef) -> PhaseRef:
    """One idempotent ledger transaction; what is recorded names the hardest and the control questions."""
    inputs = digest(run.fingerprint, rollouts.sha256, verdicts.sha256)
    ref = finished(run, iteration, "gate", inputs)
    batch_key = run.batch_key(phase_key(iteration, "gate"))
    if ref and run.ledger.has(batch_key):
        return ref
    groups = groups_of(run, rollouts, verdicts)
    hardest, control = run.interleaving.hardest_and_control(groups)
    run.ledger.record_attempts(batch_key, iteration, groups, purpose=Purpose.TRAIN, hardest=hardest, control=control)
    if ref:
        return ref
    statuses = Counter(r.verdict.status.value for g in groups for r in g.rollouts)
    return finish(
        run,
        iteration,
        "gate",
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
        facts=GateRecord(hardest=tuple(hardest), control=tuple(control)).to_json(),
    )
