"""Held-out evaluation of a policy version."""

from __future__ import annotations

from dataclasses import asdict, replace

from relift.config import EvaluationConfig
from relift.evaluation import grouped, summarise
from relift.phases.phase import facts_of, finish, finished, place_of
from relift.phases.tables import rollouts_to_parquet
from relift.phases.verify import reward
from relift.policy.engine import SamplingRequest
from relift.policy.model import autocast
from relift.records import Completion, EvalResult, PhaseRef, PolicyVersion, Purpose, Question, Rollout, RolloutGroup
from relift.run import Run
from relift.store.manifest import digest

FILE = "rollouts.parquet"


def evaluate(run: Run, iteration: int, version: PolicyVersion, full: bool) -> PhaseRef:
    """Results by benchmark before ``iteration``; ``full`` asks all held-out questions, else the first few of each.

    The questions, their order and the draws are the same at every evaluation of a run.
    """
    config = run.config.evaluation
    assert config is not None
    questions = _questions(run, config, full)
    inputs = digest(run.fingerprint, iteration, version.checksum, [q.id for q in questions])
    if ref := finished(run, iteration, "evaluate", inputs):
        run.progress.evaluated(iteration, results_of(run, ref))
        return ref
    run.policy.at(version)
    request = SamplingRequest(
        samples=config.samples,
        max_tokens=config.max_tokens or run.config.rollout.max_tokens,
        temperature=config.temperature,
        seed=run.config.seed,
        iteration=0,
        purpose=Purpose.EVALUATION,
        version=version.number,
    )
    prompts = [run.student.prompt(q) for q in questions]
    with autocast(run.config.policy, run.resolved.device):
        completions = run.engine.sample(prompts, request, check=run.stop.check, progress=run.progress.tokens)
    groups = _groups(run, questions, completions)
    results = [summarise(name, members, version.number, iteration) for name, members in grouped(groups)]
    results = [replace(r, kind=run.kind_of(r.benchmark)) for r in results]
    key = run.key(place_of(iteration, "evaluate"))
    run.ledger.record_attempts(f"{key}/attempts", iteration, groups, purpose=Purpose.EVALUATION)
    run.ledger.record_evaluations(key, iteration, results)
    ref = finish(
        run,
        iteration,
        "evaluate",
        {FILE: rollouts_to_parquet(questions, completions)},
        inputs=inputs,
        counts={"questions": len(questions), "mean": sum(r.avg_at_k for r in results) / len(results)},
        facts={"results": [asdict(r) for r in results], "full": full},
    )
    run.progress.evaluated(iteration, results)
    return ref


def results_of(run: Run, ref: PhaseRef) -> list[EvalResult]:
    return [EvalResult(**tree) for tree in facts_of(run, ref)["results"]]


def _questions(run: Run, config: EvaluationConfig, full: bool) -> list[Question]:
    """At most so many of each benchmark where the benchmark is a family of arithmetic, of all of them elsewhere."""
    limit = config.questions if full else min(config.questions, config.interim_questions)
    seen: dict[str, int] = {}
    chosen = []
    for question in run.questions.held_out:
        seen[question.source] = seen.get(question.source, 0) + 1
        if seen[question.source] <= limit:
            chosen.append(question)
    return chosen


def _groups(run: Run, questions: list[Question], completions: list[list[Completion]]) -> list[RolloutGroup]:
    pairs = [(q.answer, c) for q, group in zip(questions, completions, strict=True) for c in group]
    verdicts = iter(run.verifier.verify_batch(pairs))
    groups = []
    for question, group in zip(questions, completions, strict=True):
        rollouts = []
        for sample, completion in enumerate(group):
            verdict = next(verdicts)
            rollouts.append(
                Rollout(sample=sample, completion=completion, verdict=verdict, reward=reward(verdict, run.config.rl))
            )
        groups.append(RolloutGroup(question=question, rollouts=tuple(rollouts)))
    return groups
