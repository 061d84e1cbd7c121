"""What both updates share: learning rates, how an update is recorded as a policy version, and how it is read back."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from relift.errors import SelfCheckFailed
from relift.learning import Conduct, Sizes, demonstration_sequence, schedule_factor
from relift.phases.tables import sequence_row
from relift.records import PhaseRef, PolicyVersion, UpdateKind, UpdateReport
from relift.run.recorded import UpdateRecord, find, read
from relift.run.run import Run
from relift.store.folder import Content

log = logging.getLogger(__name__)
TRAINED = "sequences.parquet"
"""What an update trained on beside recorded rollouts; of an RL update only where demonstrations joined groups."""
DEMONSTRATION = "demonstration"


def learning_rate(run: Run, kind: UpdateKind, iteration: int) -> float:
    """Of an update in an iteration; recorded with it, so that a replay does not depend on how long the run became."""
    update = run.config.rl if kind is UpdateKind.RL else run.config.sft
    assert update is not None, f"{kind} is off"
    adam = update.optimizer
    used = run.config.budget.share(run.spent)
    return adam.lr * schedule_factor(adam.schedule, iteration, run.resolved.schedule_iterations, used=used)


def conduct_of(run: Run, lr: float) -> Conduct:
    return Conduct(sizes=sizes_of(run), lr=lr, check=run.stop.check)


def demonstration_row(
    run: Run, update: int, question: str, demonstration: str, text: str, *, partial_ids: tuple[int, ...] | None = None
) -> dict[str, Any]:
    """A demonstration as an update is recorded to have trained on it, by the ids of both; or the part of a solution,
    without end of sequence, that stands in its place."""
    ids = run.student.solution_ids(text) if partial_ids is None else partial_ids
    sequence = demonstration_sequence(question, prompt_ids(run, question), ids)
    return sequence_row(update, DEMONSTRATION, demonstration, sequence)


def prompt_ids(run: Run, question: str) -> tuple[int, ...]:
    return run.student.prompt(run.questions.by_id[question]).token_ids


def sizes_of(run: Run) -> Sizes:
    """How the run's forward passes are cut up."""
    return Sizes(
        vocabulary=run.student.vocabulary,
        micro_batch_tokens=run.resolved.micro_batch_tokens,
        chunk_tokens=run.resolved.chunk_tokens,
    )


def record_update(
    run: Run, iteration: int, key: str, update: UpdateRecord, *, files: Mapping[str, Content], inputs: str
) -> PolicyVersion:
    """Name the resident weights as a new version: ledger first (idempotent), manifest last.

    ``update`` comes with the version before it, which stays the version where no optimizer step was taken. Raises
    SelfCheckFailed after too many updates in a row whose gradient could not be used.
    """
    before = update.version
    number = before.number + update.moved
    checksum = run.policy.moved_to(number)
    if update.moved:
        kind = update.reports[0].kind
        made = PolicyVersion(number=number, checksum=checksum, parent=before.number, iteration=iteration, kind=kind)
        update = replace(update, version=made)
    _count_refusals(run, update.reports)
    _keep(run, iteration, key, update)
    tokens = sum(report.tokens for report in update.reports)
    counts = {"updates": len(update.reports), "tokens": tokens}
    run.store.publish(key, files, inputs=inputs, counts=counts, facts=update.to_json())
    return committed_version(run, key)


def recorded_update(run: Run, iteration: int, ref: PhaseRef) -> PolicyVersion:
    """The version that a recorded update made; written into a ledger that was restored from an older snapshot."""
    record = read(run.store, ref.key, UpdateRecord)
    _count_refusals(run, record.reports)
    if not run.ledger.has(run.batch_key(f"{ref.key}/0")):
        _keep(run, iteration, ref.key, record)
    return committed_version(run, ref.key)


def _keep(run: Run, iteration: int, key: str, record: UpdateRecord) -> None:
    for index, report in enumerate(record.reports):
        batch_key = run.batch_key(f"{key}/{index}")
        run.ledger.record_update(batch_key, iteration, report, record.version, uses=record.used_by(index))


def committed_version(run: Run, key: str) -> PolicyVersion:
    """The version that the update recorded at a key made."""
    ref = PhaseRef(key=key, sha256=run.store.manifest_sha256(key))
    return replace(read(run.store, key, UpdateRecord).version, phase=ref)


def reports_of(run: Run, key: str) -> tuple[UpdateReport, ...]:
    """What the updates of a recorded phase reported; empty where there was none."""
    record = find(run.store, key, UpdateRecord)
    return record.reports if record else ()


def _count_refusals(run: Run, reports: Iterable[UpdateReport]) -> None:
    """Raises SelfCheckFailed after too many updates in a row whose gradient could not be used."""
    run.interleaving.count_refusals(reports)
    count, limit = run.interleaving.refused_in_a_row, run.config.checks.max_skipped_updates
    if count >= limit:
        raise SelfCheckFailed(
            f"{count} updates in a row were refused for a gradient that is not finite or above "
            f"skip_above (checks.max_skipped_updates={limit}): the run has diverged. Lower the learning rate or "
            f"resume from an earlier checkpoint."
        )
