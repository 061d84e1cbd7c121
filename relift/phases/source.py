"""Ask the teachers for solutions of the questions that the rule names; admitted ones become demonstrations."""

from __future__ import annotations

from relift.phases.phase import finish, finished
from relift.phases.tables import demonstrations_from_parquet, demonstrations_to_parquet
from relift.records import Demonstration, PhaseRef
from relift.run.recorded import GateRecord, SourceRecord, phase_key, read
from relift.run.run import Run
from relift.store.manifest import digest

FILE = "demonstrations.parquet"


def source(run: Run, iteration: int, gated: PhaseRef) -> PhaseRef:
    """Demonstrations, admitted or refused with a reason, of the questions that the rule named at the gate.

    Teachers are asked for controls too, after all that may be taught: a control that no teacher solves would not have
    been taught either, and tells nothing of teaching. Where nothing is probed nothing is compared, and none is asked.

    Holds what has arrived when the RL update beside it is done, of this iteration's questions and of earlier ones.
    What arrived from outside is fixed by this phase's manifest, so it comes before the ledger here: a resumed run
    replays the same demonstrations, and asks again only for what its last iteration still waited for.
    """
    inputs = digest(run.fingerprint, gated.sha256)
    ref = finished(run, iteration, "source", inputs) or _source(run, iteration, gated, inputs)
    decision = read(run.store, gated.key, GateRecord).decision
    run.interleaving.owes(read(run.store, ref.key, SourceRecord).owed, decision)
    run.ledger.record_demonstrations(
        run.batch_key(phase_key(iteration, "source")), iteration, demonstrations_of(run, ref)
    )
    return ref


def _source(run: Run, iteration: int, gated: PhaseRef, inputs: str) -> PhaseRef:
    decision = read(run.store, gated.key, GateRecord).decision
    wanted, followed = decision.wanted, decision.followed
    by_id = run.questions.by_id
    asked = dict.fromkeys((*run.interleaving.asked, *wanted, *followed))
    run.teachers.ask([by_id[question] for question in asked], run.interleaving.mistakes_of(decision))
    run.teachers.wait(run.config.teacher.wait_seconds, run.stop.check)
    demonstrations, owed = run.teachers.pick_up()
    admitted = sum(d.is_admitted for d in demonstrations)
    ref = finish(
        run,
        iteration,
        "source",
        {FILE: demonstrations_to_parquet(demonstrations)},
        inputs=inputs,
        counts={
            "asked": len(wanted),
            "controls": len(followed),
            "admitted": admitted,
            "refused": len(demonstrations) - admitted,
        },
        facts=SourceRecord(owed=tuple(owed)).to_json(),
    )
    run.teachers.delivered(demonstrations)
    _note_trouble(run)
    return ref


def demonstrations_of(run: Run, sourced: PhaseRef) -> list[Demonstration]:
    return demonstrations_from_parquet(run.store.read(sourced.key, FILE))


def _note_trouble(run: Run) -> None:
    """Say once that teachers do not answer, and once that they do again; training goes on either way."""
    trouble = run.teachers.trouble
    if bool(trouble) != bool(run.noted_trouble):
        run.progress.note(trouble or "the teacher answers again")
    run.noted_trouble = trouble
