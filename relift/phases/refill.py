"""Sample a later round of an iteration, as ``relift/phases/rounds.py`` says."""

from __future__ import annotations

from relift.phases.rollout import sample_round
from relift.phases.rounds import next_round, with_round
from relift.phases.verify import completions_of
from relift.questions import Drawn
from relift.records import PhaseRef, PolicyVersion
from relift.run.recorded import RolloutRecord, read
from relift.run.run import Run


def refill(run: Run, iteration: int, version: PolicyVersion, rollouts: PhaseRef, verdicts: PhaseRef) -> PhaseRef:
    """The rounds so far and one more, of the order's next questions under the same policy version."""
    asked = dict.fromkeys(question for question, _, _ in completions_of(run.decoded, run, rollouts))
    position = read(run.store, rollouts.keys[-1], RolloutRecord).position
    assert position is not None, "recorded by relift 0.1.0, which refilled nothing"
    before = Drawn(questions=tuple(run.questions.by_id[question] for question in asked), position=position)
    drawn = run.order.refill(iteration, rollouts.rounds, next_round(run.config, rollouts, verdicts), before)
    record = RolloutRecord(policy_version=version.number)
    return with_round(rollouts, sample_round(run, iteration, f"rollout/{rollouts.rounds}", drawn, record, version))
