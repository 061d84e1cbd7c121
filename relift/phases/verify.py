"""Compare every completion with its question's gold answer, and give it its reward.

What is graded is decided here, in ``graded``, for verifier and reward alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from relift.config import OwnRewardConfig, RlConfig
from relift.errors import SelfCheckFailed
from relift.phases import rollout
from relift.phases.phase import finish, finished
from relift.phases.prompts import beside_name
from relift.phases.rounds import with_round
from relift.phases.tables import completions_from_parquet, groups_from_parquet, verdicts_to_parquet
from relift.records import (
    UNGRADED,
    Completion,
    GradedCompletion,
    PhaseRef,
    Question,
    Rewarded,
    RolloutGroup,
    Status,
    Verdict,
)
from relift.run.decoded import DecodedRollouts, Recorded
from relift.run.recorded import RolloutRecord, read
from relift.run.run import Run
from relift.store.manifest import digest
from relift.verifier import Verifier

FILE = "verdicts.parquet"
Row = tuple[str, int, Verdict, Rewarded]
"""(question id, sample, verdict, reward)."""


def verify(run: Run, iteration: int, rollouts: PhaseRef, before: PhaseRef | None = None) -> PhaseRef:
    """Verdict and reward of every rollout; of the last round, where ``before`` holds those of the earlier ones.

    Raises SelfCheckFailed when too many verdicts are timeout or error, since the rewards would no longer mean what they
    say, and when too many rewards failed.
    """
    phase = f"verify/{before.rounds}" if before else "verify"
    inputs = digest(run.fingerprint, rollouts.sha256)
    if ref := finished(run, iteration, phase, inputs):
        return with_round(before, ref) if before else ref
    completions = _read(run, rollouts.keys[-1]) if before else completions_of(run.decoded, run, rollouts)
    # A small round may fail as often as a whole batch may: a question that cannot be graded is much of it.
    rows = _judged(run, completions, of=run.config.questions.batch_size * run.config.rollout.samples if before else 0)
    files = {FILE: verdicts_to_parquet(rows)}
    beside = () if before else read(run.store, rollouts.key, RolloutRecord).guided
    for purpose in {prefix.purpose: None for prefix in beside}:
        found = completions_from_parquet(run.store.read(rollouts.key, beside_name(purpose, rollout.FILE)))
        files[beside_name(purpose, FILE)] = verdicts_to_parquet(_judged(run, found))
    counts = dict(sorted(Counter(verdict.status.value for _, _, verdict, _ in rows).items()))
    if run.config.sampling.refill:
        counts["signal"] = _with_signal(rows)
    ref = finish(run, iteration, phase, files, inputs=inputs, counts=counts)
    return with_round(before, ref) if before else ref


def _with_signal(rows: Sequence[Row]) -> int:
    """Of how many questions the graded rewards differ."""
    found = {(question, given.value) for question, _, _, given in rows if given.value is not None}
    return sum(count > 1 for count in Counter(question for question, _ in found).values())


def _judged(run: Run, completions: Recorded, *, of: int = 0) -> list[Row]:
    """Of recorded completions; ``of`` as in ``judge``."""
    asked = [(run.questions.by_id[question], completion) for question, _, completion in completions]
    verdicts = judge(run, [(question.answer, completion) for question, completion in asked], of=of)
    rewards = rewarded(run, asked, verdicts, of=of)
    return [
        (question, sample, verdict, given)
        for (question, sample, _), verdict, given in zip(completions, verdicts, rewards, strict=True)
    ]


def judge(
    run: Run,
    pairs: Sequence[tuple[str, Completion]],
    verifier: Verifier | None = None,
    *,
    is_strict: bool = True,
    of: int = 0,
) -> list[Verdict]:
    """Verdicts on completions of the policy, each with its gold; by the run's verifier where no other is given.

    Raises SelfCheckFailed, where it ``is_strict``, when too many are timeout or error, since the rewards would no
    longer mean what they say: a share of ``of`` completions, or of these where they are more.
    """
    limit = run.config.checks.max_failed_share if is_strict else 1.0
    limit = min(1.0, limit * max(1.0, of / max(1, len(pairs))))
    seen = [(gold, graded(completion)) for gold, completion in pairs]
    verdicts = (verifier or run.verifier).verify_batch(seen, check=run.stop.check, max_failed_share=limit)
    if is_strict:
        require_few_failures(run, verdicts, of=of)
    return verdicts


def graded(completion: Completion) -> Completion:
    """What verifier and reward read of a completion: all of it, as it is.

    Its reasoning too: the verifier sets that aside itself (``questions.thinking``), a reward may be about it. One that
    ran out of tokens as far as it came: to grade what nobody trains on would be to grade another policy.
    """
    return completion


def reward(verdict: Verdict, config: RlConfig) -> float | None:
    """1 for correct, 0 for an answer that is not; None for what could not be graded (contract 7).

    That of training with ``rl.reward = "correct"``, and whatever that is of probes and evaluations: nothing trains on
    them.
    """
    if verdict.status in UNGRADED or (verdict.status is Status.TRUNCATED and config.truncated == "mask"):
        return None
    return 1.0 if verdict.status is Status.CORRECT else 0.0


def rewarded(
    run: Run, asked: Sequence[tuple[Question, Completion]], verdicts: Sequence[Verdict], *, of: int = 0
) -> list[Rewarded]:
    """The reward of each completion, in their order; a verdict that masks its rollout does so whatever the reward.

    Raises SelfCheckFailed when more than ``rl.reward.max_failed_share`` of those asked for, or of ``of``, failed.
    """
    found = [Rewarded(value=reward(verdict, run.config.rewards)) for verdict in verdicts]
    if run.reward is None:
        return found
    numbers = [number for number, one in enumerate(found) if one.value is not None]
    batch = [_graded_completion(*asked[number], verdicts[number]) for number in numbers]
    results = dict(run.reward.results(batch, check=run.stop.check))
    for index, number in enumerate(numbers):
        found[number] = results[index]
    _require_few_failed_rewards(run, [found[number] for number in numbers], of)
    return found


def _graded_completion(question: Question, completion: Completion, verdict: Verdict) -> GradedCompletion:
    return GradedCompletion(
        question=question.text,
        gold=question.answer,
        completion=graded(completion).text,
        answer=verdict.answer,
        status=verdict.status,
    )


def _require_few_failed_rewards(run: Run, rewards: Sequence[Rewarded], of: int) -> None:
    own = run.config.rewards.reward
    assert isinstance(own, OwnRewardConfig)
    failed = [one for one in rewards if one.value is None]
    if len(failed) > own.max_failed_share * max(len(rewards), of):
        commonest = Counter((one.status, one.reason) for one in failed).most_common(3)
        reasons = ", ".join(f"{n} x {status}, {reason!r}" for (status, reason), n in commonest)
        raise SelfCheckFailed(
            f"{len(failed)} of {len(rewards)} rewards of {own.kind} failed ({reasons}), more than "
            f"rl.reward.max_failed_share={own.max_failed_share}: the update would be of those alone that it can "
            f"reward. Mend it and go on with --set allow_changed_plugins=true, or raise the limit and run the same "
            f"command again."
        )


def completions_of(decoded: DecodedRollouts, run: Run, rollouts: PhaseRef) -> Recorded:
    """Of all rounds."""
    return decoded.completions(rollouts, lambda: [found for key in rollouts.keys for found in _read(run, key)])


def _read(run: Run, key: str) -> Recorded:
    return completions_from_parquet(run.store.read(key, rollout.FILE))


def groups_of(run: Run, rollouts: PhaseRef, verdicts: PhaseRef, *, keep: bool = True) -> list[RolloutGroup]:
    """The recorded groups of an iteration, in the order of its rounds; decoded at the first call, and then kept.

    Without ``keep`` those of the iteration that is kept stay, whatever was asked for.
    """
    decoded = run.decoded if keep or run.decoded.holds(rollouts) else DecodedRollouts()
    completions = completions_of(decoded, run, rollouts)
    return decoded.groups(
        verdicts,
        lambda: groups_from_parquet(
            completions, [run.store.read(key, FILE) for key in verdicts.keys], run.questions.by_id
        ),
    )


def require_few_failures(run: Run, verdicts: Sequence[Verdict], *, of: int = 0) -> None:
    """Raises SelfCheckFailed when too many verdicts are timeout or error, naming the commonest reasons."""
    failed = [v for v in verdicts if v.status in (Status.TIMEOUT, Status.ERROR)]
    limit = run.config.checks.max_failed_share
    if len(failed) > limit * max(len(verdicts), of):
        reasons = ", ".join(f"{n} x {reason!r}" for reason, n in Counter(v.reason for v in failed).most_common(3))
        raise SelfCheckFailed(
            f"{len(failed)} of {len(verdicts)} verdicts are timeout or error ({reasons}), more than "
            f"checks.max_failed_share={limit}: the rewards would not say what the policy can do. Mend the cause, or "
            f"raise the limit and run the same command again."
        )
