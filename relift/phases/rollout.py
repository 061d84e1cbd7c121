"""Sample the questions of an iteration."""

from __future__ import annotations

from collections.abc import Sequence

from relift.phases.phase import finish, finished
from relift.phases.tables import rollouts_to_parquet
from relift.policy.model import autocast
from relift.policy.sampling_request import SamplingRequest
from relift.records import Completion, FinishReason, PhaseRef, PolicyVersion, Purpose, Question
from relift.run.run import Run
from relift.store.manifest import digest

FILE = "rollouts.parquet"


def rollout(run: Run, iteration: int, version: PolicyVersion) -> PhaseRef:
    """Completions of the iteration's batch under a policy version, with the log-probabilities of the sampled tokens.

    Samples only what is not recorded; then, and only then, the version's weights are made resident.
    """
    questions = run.order.batch(iteration)
    inputs = digest(run.fingerprint, iteration, [q.id for q in questions], version.checksum)
    if ref := finished(run, iteration, "rollout", inputs):
        return ref
    config = run.config.rollout
    request = SamplingRequest(
        samples=config.samples,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        seed=run.config.seed,
        iteration=iteration,
        purpose=Purpose.TRAIN,
        version=version.number,
    )
    groups = completions_of(run, questions, request, version)
    completions = [c for group in groups for c in group]
    return finish(
        run,
        iteration,
        "rollout",
        {FILE: rollouts_to_parquet(questions, groups)},
        inputs=inputs,
        counts={
            "questions": len(questions),
            "rollouts": len(completions),
            "tokens": sum(len(c.token_ids) for c in completions),
            "cut": sum(c.finish_reason is FinishReason.LENGTH for c in completions),
        },
        facts={"policy_version": version.number},
    )


def completions_of(
    run: Run, questions: Sequence[Question], request: SamplingRequest, version: PolicyVersion
) -> list[list[Completion]]:
    """What the engine samples for each question under a policy version, whose weights are made resident for it."""
    prompts = [run.student.prompt(q) for q in questions]
    # Before each sampling: an engine that shares its GPU gives the weights back after it.
    run.engine.serve(run.policy.at(version))
    run.decoded.forget()  # the last iteration's: what is sampled now takes their memory
    with autocast(run.config.policy, run.resolved.device):
        return run.engine.sample(prompts, request, check=run.stop.check, progress=run.progress.tokens)
