"""Sample the questions of an iteration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from relift.phases.phase import finish, finished, progress_of
from relift.phases.prompts import BESIDE, beside_name, completions_of, continuations, prefix_of, request_of
from relift.phases.tables import rollouts_to_parquet
from relift.questions import Drawn
from relift.records import Completion, FinishReason, PhaseRef, PolicyVersion, Purpose
from relift.run.recorded import RolloutRecord
from relift.run.run import Run
from relift.store.manifest import digest

FILE = "rollouts.parquet"


def rollout(run: Run, iteration: int, version: PolicyVersion) -> PhaseRef:
    """Completions of the iteration's batch under a policy version, with the log-probabilities of the sampled tokens;
    and those that begin with a prefix of the rule's.

    Samples only what is not recorded; then, and only then, the version's weights are made resident.
    """
    drawn = run.order.first(iteration)
    ids = [question.id for question in drawn.questions]
    encode = partial(prefix_of, run)
    prefixes = tuple(run.interleaving.prompts(iteration, ids, encode, progress_of(run, iteration)))
    record = RolloutRecord(policy_version=version.number, guided=prefixes)
    return sample_round(run, iteration, "rollout", drawn, record, version)


def sample_round(
    run: Run, iteration: int, phase: str, drawn: Drawn, record: RolloutRecord, version: PolicyVersion
) -> PhaseRef:
    """The questions of a round, as a phase of its own; what is recorded says where the order stands after it."""
    questions, prefixes = drawn.questions, record.guided
    ids = [question.id for question in questions]
    inputs = digest(run.fingerprint, iteration, ids, version.checksum, record.to_json())
    if ref := finished(run, iteration, phase, inputs):
        return ref
    config = run.config.rollout
    request = request_of(run, iteration, Purpose.TRAIN, version, samples=config.samples)
    groups = completions_of(run, questions, request, version)
    files = {FILE: rollouts_to_parquet(questions, groups)}
    sampled = list[Completion]()
    for purpose in BESIDE:
        if beside := [prefix for prefix in prefixes if prefix.purpose is purpose]:
            asked = [run.questions.by_id[prefix.question_id] for prefix in beside]
            continued = continuations(run, beside, replace(request, purpose=purpose), version)
            files[beside_name(purpose, FILE)] = rollouts_to_parquet(asked, continued)
            sampled += [completion for group in continued for completion in group]
    beside_tokens = sum(len(completion.token_ids) for completion in sampled)
    counted = {"guided_rollouts": len(sampled), "guided_tokens": beside_tokens} if sampled else {}
    completions = [c for group in groups for c in group]
    counts = {
        "questions": len(questions),
        "rollouts": len(completions),
        "tokens": sum(len(c.token_ids) for c in completions),
        "cut": sum(c.finish_reason is FinishReason.LENGTH for c in completions),
        **counted,
    }
    facts = replace(record, position=drawn.position).to_json()
    return finish(run, iteration, phase, files, inputs=inputs, counts=counts, facts=facts)
