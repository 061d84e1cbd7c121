"""The supervised update of an iteration: fine-tuning on the hardest questions, when M demonstrations wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relift import randomness
from relift.config import SftConfig
from relift.interleave import Entry, is_control
from relift.learning import SftOutcome, demonstration_sequence, sft_minibatches
from relift.learning import sft_update as learn
from relift.ledger import Left, Use
from relift.phases.phase import finished, place_of
from relift.phases.source import demonstrations_of
from relift.phases.tables import SEQUENCES, from_parquet, sequence_of, sequence_row, to_parquet
from relift.phases.updates import conduct_of, learning_rate, record_update, recorded_update
from relift.phases.verify import groups_of
from relift.policy.model import autocast
from relift.records import PhaseRef, PolicyVersion, TrainingSequence, UpdateKind
from relift.run.run import Run
from relift.store.manifest import digest

FILE = "sequences.parquet"
DEMONSTRATION, OWN_CORRECT = "demonstration", "own_correct"


def sft_update(
    run: Run,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    sourced: PhaseRef,
    version: PolicyVersion,
) -> PolicyVersion:
    """The version after the update; the same one when fewer than M demonstrations wait.

    The buffer and the pool of own correct rollouts are functions of the recorded phases: they move on here whether the
    update itself is recorded already or not.
    """
    if run.config.sft is None:
        return version
    batches = _move_on(run, iteration, rollouts, verdicts, sourced)
    if batches:
        version = _update(run, iteration, batches, version)
        run.probes.taught([entry.question_id for batch in batches for entry in batch], iteration)
    left = [
        Left(question_id=d.question_id, demonstration_id=d.demonstration_id, reason=d.reason.value)
        for d in run.buffer.take_departures()
    ]
    if left:
        run.ledger.record_leavings(run.key(f"{place_of(iteration, 'sft_update')}/leavings"), iteration, left)
    return version


def _update(run: Run, iteration: int, batches: list[tuple[Entry, ...]], version: PolicyVersion) -> PolicyVersion:
    """Train on the batches, or find that this is recorded; either way their entries leave the buffer."""
    rows = _rows(run, batches)
    inputs = digest(run.fingerprint, version.checksum, rows)
    if ref := finished(run, iteration, "sft_update", inputs):
        run.buffer_used(batches)
        return recorded_update(run, iteration, ref)
    run.policy.at(version)
    lr = learning_rate(run, UpdateKind.SFT, iteration)
    outcomes = perform(run, iteration, rows, lr)
    made = record_update(
        run,
        iteration,
        place_of(iteration, "sft_update"),
        files={FILE: to_parquet(rows, SEQUENCES)},
        reports=[outcome.report for outcome in outcomes],
        uses=[_uses(batch, outcome) for batch, outcome in zip(batches, outcomes, strict=True)],
        parent=version,
        inputs=inputs,
        redo={"lr": lr},
    )
    run.buffer_used(batches)
    return made


def perform(run: Run, iteration: int, rows: Sequence[dict[str, Any]], lr: float) -> list[SftOutcome]:
    """Update the resident weights, once per recorded batch; used for the first time and for replay alike."""
    config = run.config.sft
    assert config is not None
    outcomes = []
    with run.policy.changing(), autocast(run.config.policy, run.resolved.device):
        for update in sorted({row["update"] for row in rows}):
            mine = [row for row in rows if row["update"] == update]
            demonstrations = [sequence_of(row) for row in mine if row["role"] == DEMONSTRATION]
            own_correct = [sequence_of(row) for row in mine if row["role"] == OWN_CORRECT]
            rng = randomness.generator(run.config.seed, iteration, "sft", update)
            outcomes.append(_learn(run, config, demonstrations, own_correct, rng, lr))
    return outcomes


def _learn(
    run: Run,
    config: SftConfig,
    demonstrations: list[TrainingSequence],
    own_correct: list[TrainingSequence],
    rng: Any,
    lr: float,
) -> SftOutcome:
    return learn(
        run.policy.model,
        run.policy.optimizers[UpdateKind.SFT],
        sft_minibatches(demonstrations, own_correct, config=config, rng=rng),
        demonstrations=demonstrations,
        config=config,
        conduct=conduct_of(run, lr),
    )


def recorded_rows(run: Run, place: str) -> list[dict[str, Any]]:
    return from_parquet(run.store.read(place, FILE))


def _move_on(
    run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, sourced: PhaseRef
) -> list[tuple[Entry, ...]]:
    """Let the iteration's demonstrations wait, those of controls aside, and take the batches that are ready."""
    groups = groups_of(run, rollouts, verdicts)
    run.own_correct.add(groups, iteration)
    for group in groups:
        if not group.is_unsolved:  # solved since it began to wait: the demonstration is no longer needed
            run.buffer.solved(group.question.id)
    assert run.config.sft is not None
    for demonstration in demonstrations_of(run, sourced):
        if is_control(demonstration.question_id, run.config.sft.control_share):
            run.probes.withheld([demonstration.question_id] if demonstration.is_admitted else [])
        elif demonstration.is_admitted:
            run.demonstrations[demonstration.id] = demonstration.text
            run.buffer.add(demonstration.question_id, demonstration.id, iteration)
    return run.rule.batches(run.buffer, iteration)


def _rows(run: Run, batches: Sequence[tuple[Entry, ...]]) -> list[dict[str, Any]]:
    """The sequences of each update as they are recorded: demonstrations first, then the own correct rollouts."""
    rows = []
    for update, batch in enumerate(batches):
        for entry in batch:
            ids = run.student.solution_ids(run.demonstrations[entry.demonstration_id])
            sequence = demonstration_sequence(entry.question_id, _prompt(run, entry.question_id), ids)
            rows.append(sequence_row(update, DEMONSTRATION, entry.demonstration_id, sequence))
        if run.config.sft and run.config.sft.own_correct:
            for own in run.own_correct.entries:
                sequence = demonstration_sequence(own.question_id, _prompt(run, own.question_id), own.token_ids)
                rows.append(sequence_row(update, OWN_CORRECT, None, sequence))
    return rows


def _prompt(run: Run, question: str) -> tuple[int, ...]:
    return run.student.prompt(run.questions.by_id[question]).token_ids


def _uses(batch: tuple[Entry, ...], outcome: SftOutcome) -> list[Use]:
    return [
        Use(demonstration_id=e.demonstration_id, question_id=e.question_id, nll_before=before, nll_after=after)
        for e, before, after in zip(batch, outcome.nll_before, outcome.nll_after, strict=True)
    ]
