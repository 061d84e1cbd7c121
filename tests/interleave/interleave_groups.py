"""Rollout groups made of statuses, for the tests of this package."""

from collections.abc import Sequence

from relift.records import Completion, FinishReason, Question, Rollout, RolloutGroup, Status, Verdict


def group(
    name: str, statuses: Sequence[Status], *, rewards: Sequence[float | None] | None = None, tokens: int = 2
) -> RolloutGroup:
    """A group with these statuses in sample order; sample j writes the tokens (j, j, ..., 1), 1 ending it."""
    rewards = rewards or [1.0 if status is Status.CORRECT else 0.0 for status in statuses]
    return RolloutGroup(
        question=Question(id=name, text=name, answer="1", source="test"),
        rollouts=tuple(
            Rollout(
                sample=j,
                completion=Completion(
                    token_ids=(j,) * (tokens - 1) + (1,),
                    logprobs=(-1.0,) * tokens,
                    text="",
                    finish_reason=FinishReason.LENGTH if status is Status.TRUNCATED else FinishReason.STOP,
                    policy_version=0,
                ),
                verdict=Verdict(status=status),
                reward=reward,
            )
            for j, (status, reward) in enumerate(zip(statuses, rewards, strict=True))
        ),
    )
