"""From recorded rollouts and demonstrations to what the losses train on. Token ids pass through untouched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from numpy.random import Generator

from relift.config import RlConfig, SftConfig
from relift.learning.advantages import group_advantages, overlong_penalty
from relift.learning.beside import is_beside
from relift.records import Completion, Distillation, GuidedGroup, Rollout, RolloutGroup, TrainingSequence


def rl_sequences(
    groups: Sequence[RolloutGroup],
    prompt_ids: Mapping[str, tuple[int, ...]],
    *,
    config: RlConfig,
    max_completion_tokens: int,
    dropped: Collection[str] = (),
    taught: Sequence[TrainingSequence] = (),
    further: Sequence[RolloutGroup] = (),
    guided: Sequence[GuidedGroup] = (),
) -> list[list[TrainingSequence]]:
    """One inner list per optimizer step, of ``questions_per_update`` groups in the given order, advantages filled in.

    Ungraded rollouts (without a reward) are left out: they count neither in the group's statistics nor in the loss or
    its denominators. A step may turn out empty. With
    ``overlong`` the advantages are those of rewards less a penalty on completions near ``max_completion_tokens``; the
    rollouts, their verdicts and their rewards stay as recorded, and so does what counts as hardest.

    Groups of the questions ``dropped`` (ids) leave the step that they would be in. Of what is ``taught`` the sequences
    with a supervision or a distillation stand in the step of their question's group as they are, behind all groups, and
    the others, demonstrations, enter the group with reward 1. The ``guided`` groups, whose advantages are their own,
    are spread over the steps in their order, so that there are as many steps as without them. So are the ``further``
    groups, those of taught questions that are not among ``groups``: with the demonstration that joins them, else
    without their rollouts.
    """
    size = config.questions_per_update
    joined = {one.question_id: one for one in taught if not is_beside(one)}
    beside: dict[str, list[TrainingSequence]] = {}
    for one in filter(is_beside, taught):
        beside.setdefault(one.question_id, []).append(one)
    asked = [list(groups[start : start + size]) for start in range(0, len(groups), size)]
    for position, group in enumerate(further):
        asked[position * len(asked) // len(further)].append(group)
    left_out = {*dropped, *(group.question.id for group in further if group.question.id not in joined)}
    steps = [
        [
            sequence
            for group in of_step
            if (question := group.question.id) not in left_out
            for sequence in _group_sequences(
                group, prompt_ids[question], config, max_completion_tokens, demonstration=joined.get(question)
            )
        ]
        for of_step in asked
    ]
    for position, found in enumerate(guided):
        prompt = (found.prefix.prompt_ids or prompt_ids[found.group.question.id]) + found.prefix_ids
        longest = max_completion_tokens - len(found.prefix_ids)
        steps[position * len(steps) // len(guided)] += _group_sequences(found.group, prompt, config, longest)
    for step, of_step in zip(steps, asked, strict=True):
        step += [one for group in of_step for one in beside.get(group.question.id, ())]
    return steps


def has_signal(group: RolloutGroup, config: RlConfig, max_completion_tokens: int) -> bool:
    """Whether some advantage of the group is not zero."""
    return len({_shaped(r, config, max_completion_tokens) for r in group.rollouts if r.reward is not None}) > 1


def rollout_sequence(
    prompt_ids: tuple[int, ...], question_id: str, completion: Completion, advantage: float | None = None
) -> TrainingSequence:
    """A completion after its prompt, loss on every completion token, with the sampler's log-probabilities."""
    assert prompt_ids, "the first token of a sequence has nothing to be predicted from, so it cannot be trained on"
    return TrainingSequence(
        question_id=question_id,
        token_ids=prompt_ids + completion.token_ids,
        loss_mask=(0,) * len(prompt_ids) + (1,) * len(completion.token_ids),
        sampling_logprobs=(0.0,) * len(prompt_ids) + completion.logprobs,
        advantage=advantage,
    )


def distilled_sequences(
    prompt_ids: tuple[int, ...], group: RolloutGroup, distillation: Distillation
) -> list[TrainingSequence]:
    """The graded rollouts of a group, to be drawn towards what the start model writes."""
    made = [
        rollout_sequence(prompt_ids, group.question.id, r.completion) for r in group.rollouts if r.reward is not None
    ]
    return [replace(one, sampling_logprobs=None, distillation=distillation) for one in made]


def demonstration_sequence(
    question_id: str, prompt_ids: tuple[int, ...], solution_ids: tuple[int, ...]
) -> TrainingSequence:
    """A solution after its prompt, loss on the solution alone; ``solution_ids`` ends with end-of-sequence.

    Own correct rollouts become supervised sequences the same way, by their recorded token ids.
    """
    assert prompt_ids, "the first token of a sequence has nothing to be predicted from, so it cannot be trained on"
    return TrainingSequence(
        question_id=question_id,
        token_ids=prompt_ids + solution_ids,
        loss_mask=(0,) * len(prompt_ids) + (1,) * len(solution_ids),
    )


def sft_minibatches(
    demonstrations: Sequence[TrainingSequence],
    own_correct: Sequence[TrainingSequence],
    *,
    config: SftConfig,
    rng: Generator,
) -> list[list[TrainingSequence]]:
    """One inner list per optimizer step: each epoch is its own shuffle of the demonstrations, cut into minibatches.

    Each minibatch is topped up with ``config.own_correct`` of the own correct sequences, drawn without replacement
    within the minibatch; with all of them where there are fewer.
    """
    size = config.minibatch or max(1, len(demonstrations))
    top_up = min(config.own_correct, len(own_correct))
    minibatches = []
    for _ in range(config.epochs):
        order = rng.permutation(len(demonstrations))
        for start in range(0, len(order), size):
            drawn = rng.choice(len(own_correct), size=top_up, replace=False) if top_up else ()
            minibatches.append(
                [demonstrations[i] for i in order[start : start + size]] + [own_correct[i] for i in drawn]
            )
    return minibatches


def _group_sequences(
    group: RolloutGroup,
    prompt_ids: tuple[int, ...],
    config: RlConfig,
    max_completion_tokens: int,
    demonstration: TrainingSequence | None = None,
) -> list[TrainingSequence]:
    """The demonstration is the last, and takes part in the advantages as a completion with reward 1."""
    graded = [rollout for rollout in group.rollouts if rollout.reward is not None]
    rewards = [_shaped(r, config, max_completion_tokens) for r in graded] + [1.0] * (demonstration is not None)
    advantages = group_advantages(torch.tensor(rewards, dtype=torch.float64), config.scale).tolist()
    sequences = [
        rollout_sequence(prompt_ids, group.question.id, rollout.completion, advantage)
        for rollout, advantage in zip(graded, advantages, strict=False)
    ]
    return sequences if demonstration is None else [*sequences, replace(demonstration, advantage=advantages[-1])]


def _shaped(rollout: Rollout, config: RlConfig, max_completion_tokens: int) -> float:
    assert rollout.reward is not None, "an ungraded rollout has no reward to shape"
    if config.overlong is None:
        return rollout.reward
    tokens = len(rollout.completion.token_ids)
    return rollout.reward - overlong_penalty(
        tokens, max_completion_tokens=max_completion_tokens, config=config.overlong
    )
