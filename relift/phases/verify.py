"""Compare every completion with its question's gold answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from relift.config import RlConfig
from relift.errors import SelfCheckFailed
from relift.phases import rollout
from relift.phases.phase import finish, finished
from relift.phases.tables import completions_from_parquet, groups_from_parquet, verdicts_to_parquet
from relift.records import Completion, PhaseRef, RolloutGroup, Status, Verdict
from relift.run.decoded import DecodedRollouts, Recorded
from relift.run.run import Run
from relift.store.manifest import digest
from relift.verifier import Verifier

FILE = "verdicts.parquet"

# Failures of ours, not of the policy: neither rewarded nor counted in a group's statistics (contract 7).
UNGRADED = frozenset({Status.TIMEOUT, Status.ERROR, Status.BAD_GOLD})


def verify(run: Run, iteration: int, rollouts: PhaseRef) -> PhaseRef:
    """Verdict and reward of every rollout.

    Raises SelfCheckFailed when too many verdicts are timeout or error, since the rewards would no longer mean what they
    say.
    """
    inputs = digest(run.fingerprint, rollouts.sha256)
    if ref := finished(run, iteration, "verify", inputs):
        return ref
    completions = completions_of(run.decoded, run, rollouts)
    by_id = run.questions.by_id
    verdicts = judge(run, [(by_id[q].answer, c) for q, _, c in completions])
    rows = [
        (question, sample, verdict, reward(verdict, run.config.rl))
        for (question, sample, _), verdict in zip(completions, verdicts, strict=True)
    ]
    statuses = Counter(v.status.value for v in verdicts)
    return finish(
        run,
        iteration,
        "verify",
        {FILE: verdicts_to_parquet(rows)},
        inputs=inputs,
        counts=dict(sorted(statuses.items())),
    )


def judge(run: Run, pairs: Sequence[tuple[str, Completion]], verifier: Verifier | None = None) -> list[Verdict]:
    """Verdicts on completions of the policy, each with its gold; by the run's verifier where no other is given.

    Raises SelfCheckFailed when too many are timeout or error, since the rewards would no longer mean what they say.
    """
    limit = run.config.checks.max_failed_share
    verdicts = (verifier or run.verifier).verify_batch(pairs, check=run.stop.check, max_failed_share=limit)
    require_few_failures(run, verdicts)
    return verdicts


def reward(verdict: Verdict, config: RlConfig) -> float | None:
    """1 for correct, 0 for an answer that is not; None for what could not be graded (method note, section 6)."""
    if verdict.status in UNGRADED or (verdict.status is Status.TRUNCATED and config.truncated == "mask"):
        return None
    return 1.0 if verdict.status is Status.CORRECT else 0.0


def completions_of(decoded: DecodedRollouts, run: Run, rollouts: PhaseRef) -> Recorded:
    return decoded.completions(rollouts, lambda: completions_from_parquet(run.store.read(rollouts.uri, rollout.FILE)))


def groups_of(run: Run, rollouts: PhaseRef, verdicts: PhaseRef, *, keep: bool = True) -> list[RolloutGroup]:
    """The recorded groups of an iteration, in the order of its batch; decoded at the first call, and then kept.

    Without ``keep`` those of the iteration that is kept stay, whatever was asked for.
    """
    decoded = run.decoded if keep or run.decoded.holds(rollouts) else DecodedRollouts()
    completions = completions_of(decoded, run, rollouts)
    return decoded.groups(
        verdicts, lambda: groups_from_parquet(completions, run.store.read(verdicts.uri, FILE), run.questions.by_id)
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
