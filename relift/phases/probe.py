"""Sample some taught questions and some controls again, to see what teaching did."""

from __future__ import annotations

from relift.phases.phase import finish, finished
from relift.phases.prompts import request_of
from relift.phases.sampling import group_files, recorded_groups, sampled_groups
from relift.records import PhaseRef, PolicyVersion, Purpose
from relift.run.recorded import phase_key
from relift.run.run import Run
from relift.store.manifest import digest


def probe(run: Run, iteration: int, version: PolicyVersion) -> PhaseRef | None:
    """Rollouts of the questions that are due, under the version the iteration starts with; None where none is due.

    They go into the ledger and nowhere else: no update ever trains on them, so a run's weights are the same without.
    """
    config = run.config.probe
    due = run.interleaving.probes.due(iteration)
    if config is None or not due:
        return None
    inputs = digest(run.fingerprint, iteration, list(due), version.checksum)
    batch_key = run.batch_key(phase_key(iteration, "probe"))
    ref = finished(run, iteration, "probe", inputs)
    if ref and run.ledger.has(batch_key):
        return ref
    if ref:
        groups = recorded_groups(run, ref)
    else:
        request = request_of(run, iteration, Purpose.PROBE, version, samples=config.samples)
        groups = sampled_groups(run, [run.questions.by_id[q] for q in due], request, version, is_strict=False)
    run.ledger.record_attempts(batch_key, iteration, groups, purpose=Purpose.PROBE)
    if ref:
        return ref
    rollouts = [r for group in groups for r in group.rollouts]
    return finish(
        run,
        iteration,
        "probe",
        group_files(groups),
        inputs=inputs,
        counts={"questions": len(due), "rollouts": len(rollouts), "correct": sum(r.is_correct for r in rollouts)},
    )
