"""Fine-tuning on demonstrations before the first iteration, one recorded update an epoch.

    source    demonstrations.parquet   all that was offered; sequences.parquet   what each epoch trains on
    00000     an epoch; how to repeat it is in its manifest

All of it counts as iteration -1. Its AdamW is its own: the optimizers of the run are fresh after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from relift import randomness
from relift.config import SftConfig, WarmStartConfig
from relift.errors import DataError, TeacherError
from relift.learning import schedule_factor, sft_minibatches
from relift.learning import sft_update as learn
from relift.ledger import Use
from relift.phases.phase import finish, finished
from relift.phases.source import FILE, demonstrations_of
from relift.phases.tables import SEQUENCES, demonstrations_to_parquet, from_parquet, sequence_of, to_parquet
from relift.phases.updates import (
    TRAINED,
    committed_version,
    conduct_of,
    demonstration_row,
    record_update,
    recorded_update,
)
from relift.policy.model import autocast
from relift.records import Demonstration, PhaseRef, PolicyVersion, Question, Spent, UpdateReport
from relift.run import checkpoint
from relift.run.recorded import WARM_START, UpdateRecord, phase_key, read
from relift.run.run import Run
from relift.run.spending import spent_on
from relift.store.manifest import digest

SOURCE = phase_key(WARM_START, "source")
WAIT_SECONDS = 1.0


def warm_start(run: Run, version: PolicyVersion) -> PolicyVersion:
    """The version after the last epoch. Recorded epochs are found, and their weights come when somebody needs them."""
    sourced = _sourced(run)
    rows = _rows(run)
    for epoch in range(_config(run).updates):
        version = _epoch(run, epoch, rows, sourced, version)
    run.interleaving.taught.update({row["demonstration_id"]: row["question_id"] for row in rows})
    epochs = [read(run.store, _key(epoch), UpdateRecord) for epoch in range(_config(run).updates)]
    run.spent = replace(Spent() + spent_on(*epochs), demonstrations=len(run.interleaving.taught))
    return version


def start_version(run: Run) -> PolicyVersion:
    """What the iterations begin with: the base, or what the finished warm start came to."""
    updates = _config(run).updates if run.config.warm_start else 0
    return committed_version(run, _key(updates - 1)) if updates else run.base


def reference(run: Run) -> Any:
    """The frozen start model that a KL term compares with; None without one.

    After a warm start its weights are those of the checkpoint that ends it, which is kept for this.
    """
    from safetensors.torch import load_file

    model = run.policy.reference
    if model is not None and run.config.warm_start and not run.has_reference:
        path = run.store.checked_path(checkpoint.checkpoint_key(0), checkpoint.WEIGHTS)
        checkpoint.put_weights(model, load_file(path))
        run.has_reference = True
    return model


def perform(run: Run, epoch: int, lr: float) -> UpdateReport:
    """Train the resident weights for an epoch; used for the first time and for replay alike."""
    config = _config(run)
    sft = SftConfig(minibatch=config.minibatch, entropy_weight=0.0, optimizer=config.optimizer)
    rng = randomness.generator(run.config.seed, "warm_start", epoch)
    minibatches = sft_minibatches([sequence_of(row) for row in _rows(run)], [], config=sft, rng=rng)
    policy, optimizer = run.policy, run.policy.warm_start
    with policy.changing(), autocast(run.config.policy, run.resolved.device):
        report = learn(
            policy.model, optimizer, minibatches, demonstrations=[], config=sft, conduct=conduct_of(run, lr)
        ).report
    if epoch + 1 == config.epochs:
        optimizer.state.clear()
    return report


def _epoch(
    run: Run, epoch: int, rows: Sequence[dict[str, Any]], sourced: PhaseRef, version: PolicyVersion
) -> PolicyVersion:
    config = _config(run)
    inputs = digest(run.fingerprint, version.checksum, sourced.sha256, epoch)
    if ref := finished(run, WARM_START, f"{epoch:05d}", inputs):
        return recorded_update(run, WARM_START, ref)
    run.policy.at(version)
    lr = config.optimizer.lr * schedule_factor(config.optimizer.schedule, epoch, config.epochs)
    report = perform(run, epoch, lr)
    uses = tuple(Use(demonstration_id=row["demonstration_id"], question_id=row["question_id"]) for row in rows)
    made = UpdateRecord(version=version, reports=(report,), uses=(uses,), lr=lr)
    return record_update(run, WARM_START, _key(epoch), made, files={}, inputs=inputs)


def _sourced(run: Run) -> PhaseRef:
    """What was asked of the teachers, and what of it is taught; written into a ledger that was restored, too."""
    inputs = digest(run.fingerprint, "warm_start")
    ref = finished(run, WARM_START, "source", inputs) or _source(run, inputs)
    run.ledger.record_demonstrations(run.batch_key(SOURCE), WARM_START, demonstrations_of(run, ref))
    return ref


def _source(run: Run, inputs: str) -> PhaseRef:
    came, taught, controls = _asked(run, _config(run))
    rows = [demonstration_row(run, 0, d.question_id, d.id, d.text) for d in taught]
    return finish(
        run,
        WARM_START,
        "source",
        {FILE: demonstrations_to_parquet(came), TRAINED: to_parquet(rows, SEQUENCES)},
        inputs=inputs,
        counts={"taught": len(taught), "controls": controls, "admitted": sum(d.is_admitted for d in came)},
    )


def _asked(run: Run, config: WarmStartConfig) -> tuple[list[Demonstration], list[Demonstration], int]:
    """(all that came, what is taught, controls asked for): questions are drawn until enough have a demonstration.

    Controls that are drawn are taken out, and asked for where something is probed. Raises DataError where there are not
    enough questions.
    """
    count = len(run.questions.training) if config.demonstrations == "all" else config.demonstrations
    drawn = _drawn(run)
    came, taught, controls = list[Demonstration](), list[Demonstration](), 0
    while wanted := _next(run, drawn, count - len(taught)):
        teachable = [question.id for question in wanted if not run.interleaving.is_control(question.id)]
        controls += len(wanted) - len(teachable)
        found = _answers(run, wanted)
        came += found
        admitted = {d.question_id: d for d in reversed(found) if d.is_admitted}
        taught += [admitted[question] for question in teachable if question in admitted]
    if len(taught) < (1 if config.demonstrations == "all" else count):
        raise DataError(
            f"warm_start.demonstrations={config.demonstrations!r}, but only {len(taught)} of "
            f"{len(run.questions.training)} training questions that are no controls have an admitted demonstration: "
            f"lower it, or give more (teacher.sources, questions.solution_column).{_refusals(came)}"
        )
    return came, taught, controls


def _refusals(came: Sequence[Demonstration]) -> str:
    """The commonest kinds, in a sentence."""
    kinds = Counter(d.refusal.partition(":")[0] for d in came if d.refusal)
    named = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(3))
    return f" Of {len(came)} solutions, {kinds.total()} were refused: {named}." if named else ""


def _drawn(run: Run) -> Iterator[Question]:
    """All training questions in an order that is a function of the seed."""
    questions = run.questions.training
    return (questions[i] for i in randomness.generator(run.config.seed, "warm_start").permutation(len(questions)))


def _next(run: Run, drawn: Iterator[Question], count: int) -> list[Question]:
    """So many more that may be taught, and the controls between them where something is probed."""
    wanted = list[Question]()
    while count > 0 and (question := next(drawn, None)) is not None:
        is_control = run.interleaving.is_control(question.id)
        count -= not is_control
        if not is_control or (run.config.probe and run.config.teaches):
            wanted.append(question)
    return wanted


def _answers(run: Run, questions: Sequence[Question]) -> list[Demonstration]:
    """Raises TeacherError where the teachers do not answer all of them."""
    run.teachers.ask(questions)
    while run.teachers.busy and not run.teachers.trouble:
        run.teachers.wait(WAIT_SECONDS, run.stop.check)
    found, owed = run.teachers.pick_up()
    if owed:
        raise TeacherError(
            f"the warm start waits for {len(owed)} of {len(questions)} solutions: {run.teachers.trouble}. What was "
            f"answered is kept: mend that and run the same command again, or lower warm_start.demonstrations."
        )
    run.teachers.delivered(found)
    return found


def _rows(run: Run) -> list[dict[str, Any]]:
    return from_parquet(run.store.read(SOURCE, TRAINED))


def _key(epoch: int) -> str:
    return phase_key(WARM_START, f"{epoch:05d}")


def _config(run: Run) -> WarmStartConfig:
    assert run.config.warm_start is not None, "there is no warm start"
    return run.config.warm_start
