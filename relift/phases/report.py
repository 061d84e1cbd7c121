"""What a person looks at when a run is done: the exported model, the figures and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from relift.phases.evaluate import results_of
from relift.phases.phase import facts_of
from relift.policy.model import export_model
from relift.records import EvalResult, PhaseRef, PolicyVersion
from relift.run.recorded import phase_key
from relift.run.run import Run
from relift.run.summary import RunSummary, summarise_run
from relift.store.manifest import digest

MODEL = "model"


def report(
    run: Run,
    iteration: int,
    version: PolicyVersion,
    before: PhaseRef | None,
    start: PhaseRef | None,
    after: PhaseRef | None,
) -> PhaseRef:
    """Export the policy as a Hugging Face folder and write ``report/``: made again at every call, as it is cheap."""
    from relift.report import write_report

    run.dismiss_teachers()  # what they cost is in the summary
    run.policy.at(version)
    export_model(run.policy.model, run.student, run.root / MODEL)
    for evaluated in run.store.folders("iterations"):
        if evaluated.endswith("/evaluate"):
            run.store.bring(evaluated)  # the report reads the folder
    summary = summarise_run(
        run,
        iteration,
        version,
        before=results_of(run, before) if before else [],
        start=results_of(run, start) if start else [],
        after=results_of(run, after) if after else [],
    )
    files = write_report(run.root, summary)
    for path in (*files, *sorted((run.root / MODEL).rglob("*"))):
        if path.is_file():
            run.store.put_file(path.relative_to(run.root).as_posix())
    key = phase_key(iteration, "report")
    run.store.publish(
        key,
        {},
        inputs=digest(version.checksum),
        facts={"files": [str(p.relative_to(run.root)) for p in files], "summary": asdict(summary)},
    )
    return PhaseRef(key=key, sha256=run.store.manifest_sha256(key))


def report_evaluation(run: Run, results: Sequence[EvalResult]) -> None:
    """Write ``report/`` of an evaluation without training, and keep it with the run."""
    from relift.report import write_evaluation

    for path in write_evaluation(run.root, run.name, results):
        run.store.put_file(path.relative_to(run.root).as_posix())


def summary_of(run: Run, ref: PhaseRef) -> RunSummary:
    """What the run came to, without the flow's own times."""
    return RunSummary.from_tree(facts_of(run, ref)["summary"])
