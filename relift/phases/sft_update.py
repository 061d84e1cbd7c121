"""The supervised update of an iteration: fine-tuning on the batches of demonstrations that the rule has ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from relift import randomness
from relift.config import SftConfig
from relift.interleave import Taught
from relift.learning import SftOutcome, demonstration_sequence, sft_minibatches
from relift.learning import sft_update as learn
from relift.ledger import EntryRecord, LeavingRecord, Use
from relift.phases.batch import batch_of
from relift.phases.phase import finished, forget
from relift.phases.prompts import partial_ids
from relift.phases.rl_update import after_rl_update
from relift.phases.sampling import trials_of
from relift.phases.source import demonstrations_of
from relift.phases.tables import SEQUENCES, from_parquet, sequence_of, sequence_row, to_parquet
from relift.phases.updates import (
    DEMONSTRATION,
    TRAINED,
    conduct_of,
    demonstration_row,
    learning_rate,
    prompt_ids,
    record_update,
    recorded_update,
    reports_of,
)
from relift.policy.model import autocast
from relift.records import PhaseRef, PolicyVersion, TrainingSequence, UpdateKind
from relift.run.recorded import GateRecord, UpdateRecord, phase_key, read
from relift.run.run import Run
from relift.store.manifest import digest

OWN_CORRECT = "own_correct"
REHEARSED = "rehearsed"


def sft_update(
    run: Run,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    gated: PhaseRef,
    sourced: PhaseRef,
    version: PolicyVersion,
    trials: PhaseRef | None = None,
) -> PolicyVersion:
    """The version after the update; the same one where the rule has no batch, as when fewer than M demonstrations wait.

    The method's state is a function of the recorded phases: it moves on here, whether the update itself is recorded
    already or not.
    """
    if not run.config.teaches:
        return version
    batch = after_rl_update(run, batch_of(run, iteration, rollouts, verdicts))
    batch = replace(batch, trials=trials_of(run, trials))
    decision = read(run.store, gated.key, GateRecord).decision
    encode = partial(partial_ids, run)
    batches = run.interleaving.advance(batch, decision, demonstrations_of(run, sourced), encode)
    entered = [
        EntryRecord(question_id=entry.question_id, demonstration_id=entry.demonstration_id)
        for entry in run.interleaving.buffer.snapshot().waiting
        if entry.first_iteration == iteration
    ]
    if batches:
        version = _update(run, iteration, batches, version)
        reports = reports_of(run, phase_key(iteration, "sft_update"))
        run.interleaving.used([one for one, report in zip(batches, reports, strict=True) if report.steps], iteration)
        untaught = (one for one, report in zip(batches, reports, strict=True) if not report.steps)
        run.interleaving.buffer.put_back(taught.entry for one in untaught for taught in one)
    else:
        forget(run, iteration, "sft_update")
    left = [
        LeavingRecord(question_id=d.question_id, demonstration_id=d.demonstration_id, reason=d.reason.value)
        for d in run.interleaving.buffer.take_leavings()
    ]
    key = run.batch_key(phase_key(iteration, "sft_update"))
    if entered:
        run.ledger.record_entries(f"{key}/entries", iteration, entered)
    if left:
        run.ledger.record_leavings(f"{key}/leavings", iteration, left)
    return version


def _update(run: Run, iteration: int, batches: list[tuple[Taught, ...]], version: PolicyVersion) -> PolicyVersion:
    """Train on the batches, or find that this is recorded."""
    rows = _rows(run, iteration, batches)
    inputs = digest(run.fingerprint, version.checksum, rows)
    if ref := finished(run, iteration, "sft_update", inputs):
        return recorded_update(run, iteration, ref)
    run.policy.at(version)
    lr = learning_rate(run, UpdateKind.SFT, iteration)
    outcomes = perform(run, iteration, rows, lr)
    return record_update(
        run,
        iteration,
        phase_key(iteration, "sft_update"),
        UpdateRecord(
            version=version,
            reports=tuple(outcome.report for outcome in outcomes),
            uses=tuple(
                _uses(batch, outcome) if outcome.report.steps else ()
                for batch, outcome in zip(batches, outcomes, strict=True)
            ),
            lr=lr,
        ),
        files={TRAINED: to_parquet(rows, SEQUENCES)},
        inputs=inputs,
    )


def perform(run: Run, iteration: int, rows: Sequence[dict[str, Any]], lr: float) -> list[SftOutcome]:
    """Update the resident weights, once per recorded batch; used for the first time and for replay alike."""
    config = run.config.sft
    assert config is not None
    outcomes = []
    with run.policy.changing(), autocast(run.config.policy, run.resolved.device):
        for update in sorted({row["update"] for row in rows}):
            mine = [row for row in rows if row["update"] == update]
            demonstrations = [sequence_of(row) for row in mine if row["role"] == DEMONSTRATION]
            rehearsed = [sequence_of(row) for row in mine if row["role"] == REHEARSED]
            own_correct = [sequence_of(row) for row in mine if row["role"] == OWN_CORRECT]
            rng = randomness.generator(run.config.seed, iteration, "sft", update)
            minibatches = sft_minibatches([*demonstrations, *rehearsed], own_correct, config=config, rng=rng)
            outcomes.append(_learn(run, config, demonstrations, minibatches, lr))
    return outcomes


def _learn(
    run: Run,
    config: SftConfig,
    demonstrations: list[TrainingSequence],
    minibatches: list[list[TrainingSequence]],
    lr: float,
) -> SftOutcome:
    return learn(
        run.policy.model,
        run.policy.optimizers[UpdateKind.SFT],
        minibatches,
        demonstrations=demonstrations,
        config=config,
        conduct=conduct_of(run, lr),
    )


def recorded_rows(run: Run, key: str) -> list[dict[str, Any]]:
    return from_parquet(run.store.read(key, TRAINED))


def _rows(run: Run, iteration: int, batches: Sequence[tuple[Taught, ...]]) -> list[dict[str, Any]]:
    """The sequences of each update as they are recorded: demonstrations, those rehearsed, own correct rollouts.

    What is rehearsed was taught before: it has its use and its likelihoods from then, and gets no others.
    """
    now = [taught.entry.question_id for batch in batches for taught in batch]
    rows = []
    for update, batch in enumerate(batches):
        for taught in batch:
            question, demonstration = taught.entry.question_id, taught.entry.demonstration_id
            text = run.interleaving.demonstrations[demonstration]
            rows.append(demonstration_row(run, update, question, demonstration, text, partial_ids=taught.partial_ids))
        rng = randomness.generator(run.config.seed, iteration, "rehearse", update)
        for question, demonstration, text in run.interleaving.rehearsal.draw(rng, without=now):
            rows.append(demonstration_row(run, update, question, demonstration, text) | {"role": REHEARSED})
        if run.config.sft and run.config.sft.own_correct:
            for own in run.interleaving.own_correct.entries:
                sequence = demonstration_sequence(own.question_id, prompt_ids(run, own.question_id), own.token_ids)
                rows.append(sequence_row(update, OWN_CORRECT, None, sequence))
    return rows


def _uses(batch: tuple[Taught, ...], outcome: SftOutcome) -> tuple[Use, ...]:
    entries = [taught.entry for taught in batch]
    return tuple(
        Use(demonstration_id=e.demonstration_id, question_id=e.question_id, nll_before=before, nll_after=after)
        for e, before, after in zip(entries, outcome.nll_before, outcome.nll_after, strict=True)
    )
