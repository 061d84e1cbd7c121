"""Ask the teachers for solutions of the hardest questions; admitted ones become demonstrations."""

from __future__ import annotations

from relift.phases.phase import facts_of, finish, finished, place_of
from relift.phases.tables import demonstrations_from_parquet, demonstrations_to_parquet
from relift.records import Demonstration, PhaseRef
from relift.run import Run
from relift.store.manifest import digest

FILE = "demonstrations.parquet"


def source(run: Run, iteration: int, recorded: PhaseRef) -> PhaseRef:
    """Demonstrations, admitted or refused with a reason, for the hardest questions outside the control share.

    What arrived from outside is fixed by this phase's manifest: a resumed run does not ask again.
    """
    inputs = digest(run.fingerprint, recorded.sha256)
    if ref := finished(run, iteration, "source", inputs):
        return ref
    facts = facts_of(run, recorded)
    untaught = set(facts["control"])
    wanted = [run.questions.by_id[q] for q in facts["hardest"] if q not in untaught] if run.config.sft else []
    demonstrations = run.teacher.demonstrations(wanted)
    run.ledger.record_demonstrations(run.key(place_of(iteration, "source")), iteration, demonstrations)
    admitted = sum(d.is_admitted for d in demonstrations)
    return finish(
        run,
        iteration,
        "source",
        {FILE: demonstrations_to_parquet(demonstrations)},
        inputs=inputs,
        counts={"asked": len(wanted), "admitted": admitted, "refused": len(demonstrations) - admitted},
    )


def demonstrations_of(run: Run, sourced: PhaseRef) -> list[Demonstration]:
    return demonstrations_from_parquet(run.store.read(sourced.uri, FILE))
