"""Groups of rollouts for what is only looked at: evaluations and probes sample, judge and record them in one phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from relift.phases import rollout, verify
from relift.phases.prompts import completions_of
from relift.phases.tables import completions_from_parquet, groups_from_parquet, rollouts_to_parquet, verdicts_to_parquet
from relift.policy.sampling_request import SamplingRequest
from relift.records import (
    Completion,
    GuidedGroup,
    PhaseRef,
    PolicyVersion,
    Question,
    Rewarded,
    Rollout,
    RolloutGroup,
    Verdict,
)
from relift.run.recorded import TrialRecord, read
from relift.run.run import Run
from relift.verifier import Verifier


def sampled_groups(
    run: Run,
    questions: Sequence[Question],
    request: SamplingRequest,
    version: PolicyVersion,
    *,
    is_strict: bool,
    verifier: Verifier | None = None,
) -> list[RolloutGroup]:
    """The rollouts of each question under a policy version, in the order of the questions; judged by the run's verifier
    where no other is given.

    Raises SelfCheckFailed, where it ``is_strict``, when too many verdicts are timeout or error.
    """
    return judged_groups(
        run, questions, completions_of(run, questions, request, version), is_strict=is_strict, verifier=verifier
    )


def judged_groups(
    run: Run,
    questions: Sequence[Question],
    completions: Sequence[Sequence[Completion]],
    *,
    is_strict: bool,
    verifier: Verifier | None = None,
) -> list[RolloutGroup]:
    """The same of completions that were sampled, a group for each question."""
    pairs = [(q.answer, c) for q, group in zip(questions, completions, strict=True) for c in group]
    verdicts = iter(verify.judge(run, pairs, verifier, is_strict=is_strict))
    return [
        RolloutGroup(question=question, rollouts=_rollouts(run, group, verdicts))
        for question, group in zip(questions, completions, strict=True)
    ]


def _rollouts(run: Run, completions: Sequence[Completion], verdicts: Iterator[Verdict]) -> tuple[Rollout, ...]:
    """Takes as many verdicts as there are completions."""
    found = [(completion, next(verdicts)) for completion in completions]
    return tuple(
        Rollout(
            sample=sample, completion=completion, verdict=verdict, reward=verify.reward(verdict, run.config.rewards)
        )
        for sample, (completion, verdict) in enumerate(found)
    )


def group_files(groups: Sequence[RolloutGroup], prefix: str = "") -> dict[str, bytes]:
    """The files that ``recorded_groups`` reads, by name."""
    completions = [[r.completion for r in group.rollouts] for group in groups]
    verdicts = [(g.question.id, r.sample, r.verdict, Rewarded(value=r.reward)) for g in groups for r in g.rollouts]
    return {
        prefix + rollout.FILE: rollouts_to_parquet([group.question for group in groups], completions),
        prefix + verify.FILE: verdicts_to_parquet(verdicts),
    }


def recorded_groups(run: Run, ref: PhaseRef, prefix: str = "") -> list[RolloutGroup]:
    return groups_from_parquet(
        completions_from_parquet(run.store.read(ref.key, prefix + rollout.FILE)),
        [run.store.read(ref.key, prefix + verify.FILE)],
        run.questions.by_id,
    )


def trials_of(run: Run, trials: PhaseRef | None) -> list[GuidedGroup]:
    """What was recorded, a group for each prefix in the order in which the rule gave them; none without a phase."""
    return [] if trials is None else by_prefix(read(run.store, trials.key, TrialRecord), recorded_groups(run, trials))


def by_prefix(record: TrialRecord, groups: Sequence[RolloutGroup]) -> list[GuidedGroup]:
    """The groups of a trial, whose samples are those of all rounds, for each prefix of each round."""
    of_question: Mapping[str, RolloutGroup] = {group.question.id: group for group in groups}
    taken: dict[str, int] = {}
    found = []
    for prefix in (prefix for prefixes in record.rounds for prefix in prefixes):
        start = taken.get(prefix.question_id, 0)
        taken[prefix.question_id] = start + record.samples
        group = of_question[prefix.question_id]
        rollouts: tuple[Rollout, ...] = group.rollouts[start : start + record.samples]
        found.append(GuidedGroup(prefix=prefix, group=replace(group, rollouts=rollouts)))
    return found
