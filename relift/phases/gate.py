"""Write an iteration's rollouts into the ledger; say which questions are hardest, and which the rule asks for."""

from __future__ import annotations

from collections import Counter

from relift.phases.batch import batch_of
from relift.phases.phase import finish, finished
from relift.phases.prompts import BESIDE
from relift.records import PhaseRef, Purpose
from relift.run.recorded import GateRecord, phase_key, read
from relift.run.run import Run
from relift.store.manifest import digest


def gate(run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef) -> PhaseRef:
    """What is recorded names the hardest and the control questions, and those that teachers are asked for."""
    inputs = digest(run.fingerprint, rollouts.sha256, verdicts.sha256)
    ref = finished(run, iteration, "gate", inputs)
    batch_key = run.batch_key(phase_key(iteration, "gate"))
    if ref and run.ledger.has(batch_key):
        return ref
    batch = batch_of(run, iteration, rollouts, verdicts)
    decision = read(run.store, ref.key, GateRecord).decision if ref else run.interleaving.decide(batch)
    hardest, control, groups = decision.hardest, decision.control, batch.groups
    sampled = (*batch.guided, *batch.asked_twice)  # all that was, since the ledger counts what was spent
    for purpose in BESIDE:
        if beside := [found.group for found in sampled if found.prefix.purpose is purpose]:
            run.ledger.record_attempts(f"{batch_key}/{purpose}", iteration, beside, purpose=purpose)
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
        facts=GateRecord(decision=decision, rounds=rollouts.rounds).to_json(),
    )
