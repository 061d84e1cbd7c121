"""Held-out evaluation of a policy version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

from relift.config import EvaluationConfig
from relift.evaluation import grouped, summarise
from relift.phases.phase import facts_of, finish, finished, place_of
from relift.phases.tables import completions_from_parquet, rollouts_to_parquet
from relift.phases.verify import require_few_failures, reward
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
        results = results_of(run, ref)
        _keep(run, iteration, results, partial(_recorded_groups, run, ref, questions))
        run.progress.evaluated(iteration, results)
        return ref
    completions = _sample(run, config, questions, version)
    groups = _groups(run, questions, completions)
    results = [summarise(name, members, version.number, iteration) for name, members in grouped(groups)]
    results = [replace(r, kind=run.kind_of(r.benchmark)) for r in results]
    _keep(run, iteration, results, lambda: groups)
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


def _keep(run: Run, iteration: int, results: list[EvalResult], groups: Callable[[], list[RolloutGroup]]) -> None:
    """In the ledger; a recorded evaluation is missing from one that was restored from an older snapshot."""
    key = run.key(place_of(iteration, "evaluate"))
    if not run.ledger.has(f"{key}/attempts"):
        run.ledger.record_attempts(f"{key}/attempts", iteration, groups(), purpose=Purpose.EVALUATION)
    run.ledger.record_evaluations(key, iteration, results)


def _recorded_groups(run: Run, ref: PhaseRef, questions: list[Question]) -> list[RolloutGroup]:
    """Of the recorded completions, whose verdicts are found again."""
    found: dict[str, list[Completion]] = {question.id: [] for question in questions}
    for question, _, completion in completions_from_parquet(run.store.read(ref.uri, FILE)):
        found[question].append(completion)
    return _groups(run, questions, list(found.values()))


def results_of(run: Run, ref: PhaseRef) -> list[EvalResult]:
    return [EvalResult(**tree) for tree in facts_of(run, ref)["results"]]


def _questions(run: Run, config: EvaluationConfig, full: bool) -> list[Question]:
    """At most so many of each source; benchmarks at full evaluations alone, all of what was loaded of them."""
    limit = config.questions if full else min(config.questions, config.interim_questions)
    seen: dict[str, int] = {}
    chosen = []
    for question in run.questions.held_out:
        seen[question.source] = seen.get(question.source, 0) + 1
        if seen[question.source] <= limit:
            chosen.append(question)
    return [*chosen, *run.questions.benchmarks] if full else chosen


def _sample(
    run: Run, config: EvaluationConfig, questions: list[Question], version: PolicyVersion
) -> list[list[Completion]]:
    """k completions of each question, where k is its benchmark's."""
    policy = run.policy.at(version)
    completions: dict[str, list[Completion]] = {}
    for samples in sorted({config.samples_for(q.source) for q in questions}):
        chosen = [q for q in questions if config.samples_for(q.source) == samples]
        request = SamplingRequest(
            samples=samples,
            max_tokens=config.max_tokens or run.config.rollout.max_tokens,
            temperature=config.temperature,
            seed=run.config.seed,
            iteration=0,
            purpose=Purpose.EVALUATION,
            version=version.number,
        )
        prompts = [run.student.prompt(q) for q in chosen]
        run.engine.serve(policy)  # before each sampling: an engine that shares its GPU gives the weights back after it
        with autocast(run.config.policy, run.resolved.device):
            groups = run.engine.sample(prompts, request, check=run.stop.check, progress=run.progress.tokens)
        completions |= {q.id: group for q, group in zip(chosen, groups, strict=True)}
    return [completions[q.id] for q in questions]


def _groups(run: Run, questions: list[Question], completions: list[list[Completion]]) -> list[RolloutGroup]:
    pairs = [(q.answer, c) for q, group in zip(questions, completions, strict=True) for c in group]
    limit = run.config.checks.max_failed_share
    found = run.verifier.verify_batch(pairs, check=run.stop.check, max_failed_share=limit)
    require_few_failures(run, found)
    verdicts = iter(found)
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
