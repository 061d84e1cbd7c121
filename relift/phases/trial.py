"""See where beginnings of completions lead that the rule gives: continued, verified, and trained on by nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from relift.phases.batch import batch_of
from relift.phases.phase import finish, finished, forget
from relift.phases.prompts import continuations, prefix_of, request_of
from relift.phases.rl_update import after_rl_update
from relift.phases.sampling import by_prefix, group_files, judged_groups, recorded_groups
from relift.phases.source import demonstrations_of
from relift.records import GuidedGroup, PhaseRef, PolicyVersion, Prefix, RolloutGroup
from relift.run.recorded import GateRecord, TrialRecord, phase_key, read
from relift.run.run import Run
from relift.store.manifest import digest


def trial(
    run: Run,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    gated: PhaseRef,
    sourced: PhaseRef,
    version: PolicyVersion,
) -> PhaseRef | None:
    """Continuations under the version that the RL update made, or that the iteration starts with where the rule needs
    demonstrations first, round by round until the rule asks for no more; None where it asks for none.

    They go into the ledger and to the rule, and nowhere else: no figure counts them.
    """
    rule = run.interleaving.rule.rule
    ask = partial(_asked, run, iteration, rollouts, verdicts, gated, sourced)
    record = TrialRecord(
        policy_version=version.number, purpose=rule.trial_purpose, samples=rule.trial_samples, rounds=(ask(()),)
    )
    if not record.rounds[0]:
        forget(run, iteration, "trial")
        return None
    inputs = digest(run.fingerprint, gated.sha256, sourced.sha256, version.checksum, record.to_json())
    ref = finished(run, iteration, "trial", inputs)
    batch_key = run.batch_key(phase_key(iteration, "trial"))
    if ref and run.ledger.has(batch_key):
        return ref
    if ref:
        groups = recorded_groups(run, ref)
    else:
        groups = _sampled(run, iteration, record, version)
        while len(record.rounds) < rule.trial_rounds and (prefixes := ask(by_prefix(record, groups))):
            record = replace(record, rounds=(*record.rounds, prefixes))
            groups = _together([*groups, *_sampled(run, iteration, record, version)])
    run.ledger.record_attempts(batch_key, iteration, groups, purpose=record.purpose)
    if ref:
        return ref
    found = [rollout for group in groups for rollout in group.rollouts]
    counts = {
        "questions": len(groups),
        "rounds": len(record.rounds),
        "rollouts": len(found),
        "correct": sum(rollout.is_correct for rollout in found),
        "tokens": sum(len(rollout.completion.token_ids) for rollout in found),
    }
    return finish(run, iteration, "trial", group_files(groups), inputs=inputs, counts=counts, facts=record.to_json())


def _asked(
    run: Run,
    iteration: int,
    rollouts: PhaseRef,
    verdicts: PhaseRef,
    gated: PhaseRef,
    sourced: PhaseRef,
    trials: Sequence[GuidedGroup],
) -> tuple[Prefix, ...]:
    """What the rule wants continued next."""
    batch = batch_of(run, iteration, rollouts, verdicts)
    # Asked before the RL update it is asked again without it, though a resumed run has recorded that.
    if not run.interleaving.needs_demonstrations_first:
        batch = after_rl_update(run, batch)
    batch = replace(batch, trials=trials)
    decision = read(run.store, gated.key, GateRecord).decision
    return tuple(run.interleaving.trials(batch, decision, demonstrations_of(run, sourced), partial(prefix_of, run)))


def _sampled(run: Run, iteration: int, record: TrialRecord, version: PolicyVersion) -> list[RolloutGroup]:
    """Of the newest round."""
    request = request_of(
        run,
        iteration,
        record.purpose,
        version,
        samples=record.samples,
        first_sample=record.samples * (len(record.rounds) - 1),
    )
    prefixes = record.rounds[-1]
    completions = continuations(run, prefixes, request, version)
    asked = [run.questions.by_id[prefix.question_id] for prefix in prefixes]
    return judged_groups(run, asked, completions, is_strict=False)


def _together(groups: Iterable[RolloutGroup]) -> list[RolloutGroup]:
    """One group for each question, whose samples are those of all rounds."""
    found: dict[str, RolloutGroup] = {}
    for group in groups:
        before = found.get(group.question.id)
        rollouts = (*(before.rollouts if before else ()), *group.rollouts)
        numbered = tuple(replace(rollout, sample=sample) for sample, rollout in enumerate(rollouts))
        found[group.question.id] = replace(group, rollouts=numbered)
    return list(found.values())
