"""All verified rollouts of an iteration: its batch, and beside it groups that begin with a prefix that the rule gives.

    rollout   guided_rollouts.parquet    what was sampled after each prefix; the prefixes are in the manifest
              unguided_rollouts.parquet  of the questions that the rule asks as they are
    verify    guided_verdicts.parquet    of prefix and continuation together; unguided_verdicts.parquet

These take part in the RL update and in nothing else: gate, own solutions and every figure are of the batch alone.
"""

from __future__ import annotations

from relift.interleave import Batch
from relift.phases import rollout, verify
from relift.phases.phase import progress_of
from relift.phases.prompts import beside_name
from relift.phases.tables import completions_from_parquet, groups_from_parquet
from relift.records import GuidedGroup, PhaseRef, Purpose, RolloutGroup
from relift.run.recorded import RolloutRecord, read
from relift.run.run import Run


def batch_of(run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, *, keep: bool = True) -> Batch:
    """All verified rollouts of an iteration; ``keep`` as in ``groups_of``.

    A question that was asked as it is beside the batch and that a later round then put into it is of the batch alone;
    what was sampled of it before stands in ``asked_twice``.
    """
    groups = verify.groups_of(run, rollouts, verdicts, keep=keep)
    asked = {group.question.id for group in groups}
    beside = guided_groups(run, rollouts, verdicts)
    guided = [one for one in beside if one.is_guided or one.group.question.id not in asked]
    twice = [one for one in beside if not one.is_guided and one.group.question.id in asked]
    progress = progress_of(run, iteration)
    return Batch(iteration=iteration, groups=groups, guided=guided, asked_twice=twice, progress=progress)


def guided_groups(run: Run, rollouts: PhaseRef, verdicts: PhaseRef) -> list[GuidedGroup]:
    """In the order in which the rule gave their prefixes; none where it gave none."""
    prefixes = read(run.store, rollouts.key, RolloutRecord).guided
    groups: dict[tuple[Purpose, str], RolloutGroup] = {}
    for purpose in {prefix.purpose: None for prefix in prefixes}:
        found = groups_from_parquet(
            completions_from_parquet(run.store.read(rollouts.key, beside_name(purpose, rollout.FILE))),
            [run.store.read(verdicts.key, beside_name(purpose, verify.FILE))],
            run.questions.by_id,
        )
        groups |= {(purpose, group.question.id): group for group in found}
    return [GuidedGroup(prefix=prefix, group=groups[prefix.purpose, prefix.question_id]) for prefix in prefixes]
