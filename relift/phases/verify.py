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
from relift.phases.tables import completions_from_parquet, groups_from_parquet, verdicts_to_parquet
from relift.records import Completion, GradedCompletion, PhaseRef, Question, Rewarded, RolloutGroup, Status, Verdict
from relift.run.decoded import DecodedRollouts, Recorded
from relift.run.recorded import RolloutRecord, read
from relift.run.run import Run
from relift.store.manifest import digest
from relift.verifier import Verifier

FILE = "verdicts.parquet"

# Failures of ours, not of the policy: neither rewarded nor counted in a group's statistics (contract 7).
UNGRADED = frozenset({Status.TIMEOUT, Status.ERROR, Status.BAD_GOLD})


def verify(run: Run, iteration: int, rollouts: PhaseRef) -> PhaseRef:
    """Verdict and reward of every rollout.

    Raises SelfCheckFailed when too many verdicts are timeout or error, since the rewards would no longer mean what they
    say, and when too many rewards failed.
    """
    inputs = digest(run.fingerprint, rollouts.sha256)
    if ref := finished(run, iteration, "verify", inputs):
        return ref
    rows = _judged(run, completions_of(run.decoded, run, rollouts))
    files = {FILE: verdicts_to_parquet(rows)}
    for purpose in {prefix.purpose: None for prefix in read(run.store, rollouts.key, RolloutRecord).guided}:
        found = completions_from_parquet(run.store.read(rollouts.key, beside_name(purpose, rollout.FILE)))
        files[beside_name(purpose, FILE)] = verdicts_to_parquet(_judged(run, found))
    statuses = Counter(verdict.status.value for _, _, verdict, _ in rows)
    return finish(run, iteration, "verify", files, inputs=inputs, counts=dict(sorted(statuses.items())))


def _judged(run: Run, completions: Recorded) -> list[tuple[str, int, Verdict, Rewarded]]:
    """(question id, sample, verdict, reward) of recorded completions."""
    asked = [(run.questions.by_id[question], completion) for question, _, completion in completions]
    verdicts = judge(run, [(question.answer, completion) for question, completion in asked])
    rewards = rewarded(run, asked, verdicts)
    return [
        (question, sample, verdict, given)
        for (question, sample, _), verdict, given in zip(completions, verdicts, rewards, strict=True)
    ]


def judge(
    run: Run, pairs: Sequence[tuple[str, Completion]], verifier: Verifier | None = None, *, is_strict: bool = True
) -> list[Verdict]:
    """Verdicts on completions of the policy, each with its gold; by the run's verifier where no other is given.

    Raises SelfCheckFailed, where it ``is_strict``, when too many are timeout or error, since the rewards would no
    longer mean what they say.
    """
    limit = run.config.checks.max_failed_share if is_strict else 1.0
    seen = [(gold, graded(completion)) for gold, completion in pairs]
    verdicts = (verifier or run.verifier).verify_batch(seen, check=run.stop.check, max_failed_share=limit)
    if is_strict:
        require_few_failures(run, verdicts)
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


def rewarded(run: Run, asked: Sequence[tuple[Question, Completion]], verdicts: Sequence[Verdict]) -> list[Rewarded]:
    """The reward of each completion, in their order; a verdict that masks its rollout does so whatever the reward.

    Raises SelfCheckFailed when more than ``rl.reward.max_failed_share`` of those asked for failed.
    """
    found = [Rewarded(value=reward(verdict, run.config.rewards)) for verdict in verdicts]
    if run.reward is None:
        return found
    numbers = [number for number, one in enumerate(found) if one.value is not None]
    batch = [_graded_completion(*asked[number], verdicts[number]) for number in numbers]
    results = dict(run.reward.results(batch, check=run.stop.check))
    for index, number in enumerate(numbers):
        found[number] = results[index]
    _require_few_failed_rewards(run, [found[number] for number in numbers])
    return found


def _graded_completion(question: Question, completion: Completion, verdict: Verdict) -> GradedCompletion:
    return GradedCompletion(
        question=question.text,
        gold=question.answer,
        completion=graded(completion).text,
        answer=verdict.answer,
        status=verdict.status,
    )


def _require_few_failed_rewards(run: Run, rewards: Sequence[Rewarded]) -> None:
    own = run.config.rewards.reward
    assert isinstance(own, OwnRewardConfig)
    failed = [one for one in rewards if one.value is None]
    if len(failed) > own.max_failed_share * len(rewards):
        commonest = Counter((one.status, one.reason) for one in failed).most_common(3)
        reasons = ", ".join(f"{n} x {status}, {reason!r}" for (status, reason), n in commonest)
        raise SelfCheckFailed(
            f"{len(failed)} of {len(rewards)} rewards of {own.kind} failed ({reasons}), more than "
            f"rl.reward.max_failed_share={own.max_failed_share}: the update would be of those alone that it can "
            f"reward. Mend it and go on with --set allow_changed_plugins=true, or raise the limit and run the same "
            f"command again."
        )


def completions_of(decoded: DecodedRollouts, run: Run, rollouts: PhaseRef) -> Recorded:
    return decoded.completions(rollouts, lambda: completions_from_parquet(run.store.read(rollouts.key, rollout.FILE)))


def groups_of(run: Run, rollouts: PhaseRef, verdicts: PhaseRef, *, keep: bool = True) -> list[RolloutGroup]:
    """The recorded groups of an iteration, in the order of its batch; decoded at the first call, and then kept.

    Without ``keep`` those of the iteration that is kept stay, whatever was asked for.
    """
    decoded = run.decoded if keep or run.decoded.holds(rollouts) else DecodedRollouts()
    completions = completions_of(decoded, run, rollouts)
    return decoded.groups(
        verdicts, lambda: groups_from_parquet(completions, run.store.read(verdicts.key, FILE), run.questions.by_id)
    )


def require_few_failures(run: Run, verdicts: Sequence[Verdict]) -> None:
    """Raises SelfCheckFailed when too many verdicts are timeout or error, naming the commonest reasons."""
    failed = [v for v in verdicts if v.status in (Status.TIMEOUT, Status.ERROR)]
    limit = run.config.checks.max_failed_share
    if len(failed) > limit * len(verdicts):
        reasons = ", ".join(f"{n} x {reason!r}" for reason, n in Counter(v.reason for v in failed).most_common(3))
        raise SelfCheckFailed(
            f"{len(failed)} of {len(verdicts)} verdicts are timeout or error ({reasons}), more than "
            f"checks.max_failed_share={limit}: the rewards would not say what the policy can do. Mend the cause, or "
            f"raise the limit and run the same command again."
        )
