"""Held-out evaluation of a policy version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relift.config import EvaluationConfig
from relift.evaluation import grouped, summarise
from relift.phases.phase import finish, finished
from relift.phases.sampling import group_files, recorded_groups, sampled_groups
from relift.policy.sampling_request import SamplingRequest
from relift.records import EvalResult, PhaseRef, PolicyVersion, Purpose, Question, RolloutGroup
from relift.run.recorded import EvaluationRecord, phase_key, read
from relift.run.run import Run
from relift.store.manifest import digest

CONFIRM = "confirm_"
"""Before the names of the files that hold the second round."""


def evaluate(run: Run, iteration: int, version: PolicyVersion, full: bool) -> PhaseRef:
    """Results by benchmark before ``iteration``; ``full`` asks all held-out questions, else the first few of each.

    The questions, their order and the draws are the same at every evaluation of a run. With ``evaluation.confirm`` a
    full one asks everything a second time, with other draws: what differs between the two is noise.
    """
    config = run.config.evaluation
    assert config is not None
    questions = _questions(run, config, full)
    confirms = full and config.confirm
    # A resumed run may ask fewer or more questions in between: what was recorded stays, as it does in the ledger.
    inputs = digest(run.fingerprint, iteration, version.checksum, [q.id for q in questions] if full else "few")
    if ref := finished(run, iteration, "evaluate", inputs):
        _keep_recorded(run, iteration, ref, confirms)
        run.progress.evaluated(iteration, results_of(run, ref))
        return ref
    groups = _sample(run, config, questions, version, Purpose.EVALUATION)
    again = _sample(run, config, questions, version, Purpose.CONFIRM) if confirms else []
    results = [summarise(name, members, version.number, iteration) for name, members in grouped(groups)]
    results = [replace(r, kind=run.kind_of(r.benchmark)) for r in results]
    _keep(run, iteration, results, groups, again)
    made = EvaluationRecord(results=tuple(results), full=full)
    ref = finish(
        run,
        iteration,
        "evaluate",
        group_files(groups) | (group_files(again, CONFIRM) if confirms else {}),
        inputs=inputs,
        counts={"questions": len(questions), "mean": made.mean},
        facts=made.to_json(),
    )
    run.progress.evaluated(iteration, results)
    return ref


def results_of(run: Run, ref: PhaseRef) -> list[EvalResult]:
    return list(read(run.store, ref.key, EvaluationRecord).results)


def _keep(
    run: Run,
    iteration: int,
    results: Sequence[EvalResult],
    groups: Sequence[RolloutGroup],
    again: Sequence[RolloutGroup],
) -> None:
    batch_key = run.batch_key(phase_key(iteration, "evaluate"))
    run.ledger.record_attempts(f"{batch_key}/attempts", iteration, groups, purpose=Purpose.EVALUATION)
    if again:
        run.ledger.record_attempts(f"{batch_key}/confirm", iteration, again, purpose=Purpose.CONFIRM)
    run.ledger.record_evaluations(batch_key, iteration, results)


def _keep_recorded(run: Run, iteration: int, ref: PhaseRef, confirms: bool) -> None:
    """A recorded evaluation is missing from a ledger that was restored from an older snapshot."""
    if run.ledger.has(run.batch_key(phase_key(iteration, "evaluate"))):
        return
    again = recorded_groups(run, ref, CONFIRM) if confirms else []
    _keep(run, iteration, results_of(run, ref), recorded_groups(run, ref), again)


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
    run: Run, config: EvaluationConfig, questions: list[Question], version: PolicyVersion, purpose: Purpose
) -> list[RolloutGroup]:
    """k rollouts of each question, where k is its benchmark's; the draws are those of iteration 0."""
    found: dict[str, RolloutGroup] = {}
    alike: dict[tuple[int, float, bool], list[Question]] = {}
    for q in questions:
        key = (config.samples_for(q.source), config.temperature_for(q.source), _rounds_golds(run, config, q))
        alike.setdefault(key, []).append(q)
    for (samples, temperature, rounds), chosen in sorted(alike.items()):
        request = SamplingRequest(
            samples=samples,
            max_tokens=config.max_tokens or run.config.rollout.max_tokens,
            temperature=temperature,
            seed=run.config.seed,
            iteration=0,
            purpose=purpose,
            version=version.number,
        )
        verifier = run.verifier.reading(form=config.answer_form or run.verifier.form, rounded_golds=rounds)
        groups = sampled_groups(run, chosen, request, version, is_strict=True, verifier=verifier)
        found |= {group.question.id: group for group in groups}
    return [found[q.id] for q in questions]


def _rounds_golds(run: Run, config: EvaluationConfig, question: Question) -> bool:
    """Whether the question's gold may be rounded, by its benchmark or, held out of the training set, as there."""
    of_benchmark = config.rounds_golds(question.source)
    return run.config.questions.rounded_golds if of_benchmark is None else of_benchmark
