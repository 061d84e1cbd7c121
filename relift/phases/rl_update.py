"""The RL update of an iteration: one GRPO pass over its recorded groups."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from relift.errors import SelfCheckFailed
from relift.interleave import ALL_KEPT, Batch, Distil, Fates
from relift.learning import agreement, distilled_sequences, has_signal, rl_sequences, rollout_sequence
from relift.learning import rl_update as learn
from relift.ledger import Use
from relift.phases.batch import batch_of
from relift.phases.phase import finished
from relift.phases.prompts import prefix_of
from relift.phases.rounds import rl_groups
from relift.phases.sampling import trials_of
from relift.phases.source import demonstrations_of
from relift.phases.tables import SEQUENCES, from_parquet, sequence_of, to_parquet
from relift.phases.updates import (
    TRAINED,
    conduct_of,
    demonstration_row,
    learning_rate,
    prompt_ids,
    record_update,
    recorded_update,
    sizes_of,
)
from relift.phases.verify import groups_of
from relift.phases.warm_start import reference
from relift.policy.lora import without_adapters
from relift.policy.model import autocast
from relift.records import (
    Demonstration,
    Distillation,
    PhaseRef,
    PolicyVersion,
    Supervision,
    TrainingSequence,
    UpdateKind,
    UpdateReport,
)
from relift.run.recorded import GateRecord, UpdateRecord, fates_from_json, find, phase_key, read
from relift.run.run import Run
from relift.store.manifest import digest

log = logging.getLogger(__name__)


def rl_update(
    run: Run,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    gated: PhaseRef,
    version: PolicyVersion,
    sourced: PhaseRef | None = None,
    trials: PhaseRef | None = None,
) -> PolicyVersion:
    """The version after the update; the same one when no group had signal and nothing is taught in it, or with the
    update off.

    When it is recorded, its version is returned and nothing is computed: the weights come when somebody needs them.
    ``sourced`` is read where the rule needs the iteration's demonstrations first, and ``trials`` are of such a rule.
    """
    if run.config.rl is None:
        if run.policy.version == version.number:  # else nothing was sampled from it in this process
            _check(run, iteration, rollouts, verdicts)
        return version
    batch = replace(batch_of(run, iteration, rollouts, verdicts), trials=trials_of(run, trials))
    came: list[Demonstration] = []
    if run.interleaving.needs_demonstrations_first:
        assert sourced is not None, "the rule needs the iteration's demonstrations before its RL update"
        came = demonstrations_of(run, sourced)
    decision = read(run.store, gated.key, GateRecord).decision
    fates, taught = run.interleaving.fates(batch, decision, came, partial(prefix_of, run))
    targets = [lesson for lesson in taught if lesson.question_id in fates.targets]
    rows = [demonstration_row(run, 0, d.question_id, d.demonstration_id, d.text) for d in targets]
    others = () if fates == ALL_KEPT else (asdict(fates),)
    inputs = digest(run.fingerprint, rollouts.sha256, verdicts.sha256, gated.sha256, version.checksum, rows, *others)
    if ref := finished(run, iteration, "rl_update", inputs):
        return recorded_update(run, iteration, ref)
    run.policy.at(version)
    _check(run, iteration, rollouts, verdicts)
    made = UpdateRecord(
        version=version,
        reports=(),
        uses=(),
        lr=learning_rate(run, UpdateKind.RL, iteration),
        rollouts=rollouts.key,
        verdicts=verdicts.key,
        gated=gated.key,
        fates=fates,
    )
    report = perform(run, batch, made, rows)
    _require_small_gap(run, report.logprob_gap_mean)
    if report.steps:
        lessons = [Use(demonstration_id=d.demonstration_id, question_id=d.question_id) for d in taught]
        made = replace(made, uses=((*lessons, *_guides(run, batch)),))
    files = {TRAINED: to_parquet(rows, SEQUENCES)} if rows else {}
    return record_update(
        run, iteration, phase_key(iteration, "rl_update"), replace(made, reports=(report,)), files=files, inputs=inputs
    )


def perform(run: Run, batch: Batch, update: UpdateRecord, rows: Sequence[Mapping[str, Any]]) -> UpdateReport:
    """Update the resident weights; used for the first time and for replay alike.

    ``rows`` are the demonstrations that it teaches, as they are recorded.
    """
    config, fates = run.config.rl, fates_of(run, update)
    assert config is not None
    conduct = replace(conduct_of(run, update.lr), rl_weight=fates.rl_weight, start=partial(_start, run))
    asked = [*batch.groups, *(guided.group for guided in batch.guided)]
    prompts = {group.question.id: run.student.prompt(group.question).token_ids for group in asked}
    groups = rl_groups(run.config, batch.groups)
    further = {*fates.taught}.difference(group.question.id for group in groups)
    with run.policy.changing(), autocast(run.config.policy, run.resolved.device):
        return learn(
            run.policy.model,
            run.policy.optimizers[UpdateKind.RL],
            rl_sequences(
                groups,
                prompts,
                config=config,
                max_completion_tokens=run.config.rollout.max_tokens,
                dropped=frozenset(fates.dropped),
                taught=[*_demonstrations(fates, rows), *_distilled(run, fates, batch, prompts)],
                further=[group for group in batch.groups if group.question.id in further],
                guided=batch.guided,
            ),
            config=config,
            conduct=conduct,
            temperature=run.config.rollout.temperature,
            max_completion_tokens=run.config.rollout.max_tokens,
            reference=reference(run),
        )


def recorded_rows(run: Run, key: str) -> list[dict[str, Any]]:
    """Of an update that trained on demonstrations; none of any other."""
    manifest = run.store.manifest(key)
    has_rows = manifest is not None and any(entry.name == TRAINED for entry in manifest.files)
    return from_parquet(run.store.read(key, TRAINED)) if has_rows else []


def _view(run: Run, answer: Distil) -> tuple[int, ...]:
    """What the start model reads in place of a question's prompt."""
    return prefix_of(run, "groups", answer.prompt).prompt_ids


@contextmanager
def _start(run: Run) -> Iterator[Any]:
    """The start model: the second one, or the policy's with its adapters off. Raises SelfCheckFailed without either."""
    if (model := reference(run)) is not None:
        yield model
    elif run.config.policy.lora is None:
        raise SelfCheckFailed(
            "there is no start model to distil from and the policy has no adapters to be without, so it would be "
            "distilled from itself. Have the class of the rule say distils = True before the run is opened."
        )
    else:
        with without_adapters(run.policy.model) as model:
            yield model


def _guides(run: Run, batch: Batch) -> list[Use]:
    """Demonstrations whose beginnings were given to groups that move the policy."""
    config, limit = run.config.rewards, run.config.rollout.max_tokens
    return [
        Use(
            demonstration_id=prefix.demonstration_id,
            question_id=prefix.question_id,
            prefix_tokens=len(prefix.token_ids) or len(prefix.prompt_ids) - len(prompt_ids(run, prefix.question_id)),
        )
        for found in batch.guided
        if found.is_guided and (prefix := found.prefix).demonstration_id
        if has_signal(found.group, config, limit - len(prefix.token_ids))
    ]


def fates_of(run: Run, update: UpdateRecord) -> Fates:
    """What became of an RL update's groups; earlier runs of this release recorded it with the gate."""
    if update.fates != ALL_KEPT or not update.gated:
        return update.fates
    manifest = run.store.manifest(update.gated)
    return fates_from_json(manifest.facts) if manifest else ALL_KEPT


def recorded_fates(run: Run, iteration: int) -> Fates:
    """The same of an iteration; every group is as it was where there is no RL update."""
    update = find(run.store, phase_key(iteration, "rl_update"), UpdateRecord)
    return fates_of(run, update) if update else ALL_KEPT


def after_rl_update(run: Run, batch: Batch) -> Batch:
    """The batch with what its recorded RL update did; one that took no step, and none, did nothing."""
    update = find(run.store, phase_key(batch.iteration, "rl_update"), UpdateRecord)
    if update is None or not update.moved:
        return batch
    return replace(batch, fates=fates_of(run, update), used=tuple(use.demonstration_id for use in update.used_by(0)))


def _demonstrations(fates: Fates, rows: Sequence[Mapping[str, Any]]) -> list[TrainingSequence]:
    beside = {
        answer.question_id: Supervision(weight=answer.weight, token_weights=answer.token_weights)
        for answer in fates.supervised
    }
    return [replace(sequence_of(row), supervision=beside.get(row["question_id"])) for row in rows]


def _distilled(run: Run, fates: Fates, batch: Batch, prompts: Mapping[str, tuple[int, ...]]) -> list[TrainingSequence]:
    groups = {group.question.id: group for group in batch.groups}
    return [
        sequence
        for answer in fates.distilled
        for sequence in distilled_sequences(
            prompts[answer.question_id],
            groups[answer.question_id],
            Distillation(weight=answer.weight, prompt_ids=_view(run, answer)),
        )
    ]


def _check(run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef) -> None:
    """Self-check: engine and trainer agree, and the gradient does not depend on the split. SelfCheckFailed
    otherwise."""
    checks = run.config.checks
    if run.checked and iteration % checks.every:
        return
    groups = groups_of(run, rollouts, verdicts)[: checks.sequences]
    sequences = [
        rollout_sequence(run.student.prompt(g.question).token_ids, g.question.id, g.rollouts[0].completion)
        for g in groups
    ]
    with autocast(run.config.policy, run.resolved.device):
        found = agreement(
            run.policy.model,
            sequences,
            config=run.config.rewards,
            sizes=sizes_of(run),
            temperature=run.config.rollout.temperature,
            max_completion_tokens=run.config.rollout.max_tokens,
        )
    log.info(
        "self-check: logprob gap %.2g, split error %.2g, packing gap %.2g",
        found.logprob_gap,
        found.split_error,
        found.packing_gap,
    )
    _require_apart(run, found.packing_gap)
    _require_small_gap(run, found.logprob_gap)
    limit = checks.max_split_error or (1e-3 if run.config.policy.dtype == "float32" else 0.1)
    if not found.split_error <= limit:
        raise SelfCheckFailed(
            f"the gradient of one batch differs by {found.split_error:.2g} (relative) between one micro-batch and "
            f"one per sequence, more than {limit}: what is trained would depend on how the batch is cut. Check the "
            f"model's attention for state that crosses sequences, or raise checks.max_split_error."
        )
    run.checked = True


def _require_apart(run: Run, gap: float) -> None:
    """Raises SelfCheckFailed when sequences of a micro-batch see each other."""
    limit = run.config.checks.max_packing_gap or (1e-3 if run.config.policy.dtype == "float32" else 0.5)
    if not gap <= limit:
        raise SelfCheckFailed(
            f"a token's log-probability differs by {gap:.2g} nats between a sequence packed with others and the same "
            f"alone, more than {limit} (checks.max_packing_gap): sequences of a micro-batch see each other in "
            f"{run.config.policy.model}. Use a model with plain causal attention (Qwen2, Qwen3, Llama, ...)."
        )


def _require_small_gap(run: Run, gap: float) -> None:
    """Raises SelfCheckFailed when engine and trainer disagree about the sampled tokens; NaN counts as disagreeing."""
    limit = run.config.checks.max_logprob_gap or (1e-3 if run.config.policy.dtype == "float32" else 0.05)
    if not gap <= limit:
        raise SelfCheckFailed(
            f"the engine's log-probabilities differ from the trainer's by {gap:.4f} nats on average, more than {limit} "
            f"(checks.max_logprob_gap): the policy gradient would be of another policy. Check temperature, dtype and "
            f"the weight hand-over to the engine."
        )
