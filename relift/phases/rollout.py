"""Sample the questions of an iteration."""

from __future__ import annotations

from relift.phases.phase import finish, finished
from relift.phases.tables import rollouts_to_parquet
from relift.policy.engine import SamplingRequest
from relift.policy.model import autocast
from relift.records import FinishReason, PhaseRef, PolicyVersion, Purpose
from relift.run import Run
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
    run.engine.serve(run.policy.at(version))
    prompts = [run.student.prompt(q) for q in questions]
    with autocast(run.config.policy, run.resolved.device):
        groups = run.engine.sample(prompts, request, check=run.stop.check, progress=run.progress.tokens)
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
