"""A demonstration in its group, and groups that begin with a prefix: worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from learning_helpers import adam, plain_logprobs, rl, tiny_model

from relift.config import CorrectionConfig, PpoConfig, RlConfig
from relift.learning import Counts, PolicyTokens, policy_loss, rl_sequences
from relift.learning.losses import demonstration_objective
from relift.records import GuidedGroup, RolloutGroup, Status, TrainingSequence
from tests.interleave.interleave_groups import group

PROMPT = (5, 6, 7)
ZEROS: RolloutGroup = group("q", [Status.WRONG] * 8)
DEMONSTRATION = TrainingSequence(question_id="q", token_ids=(*PROMPT, 11, 12, 2), loss_mask=(0, 0, 0, 1, 1, 1))


def steps(groups: list[RolloutGroup], size: int = 2, **settings: object) -> list[list[TrainingSequence]]:
    prompts = {one.question.id: PROMPT for one in [*groups, ZEROS]}
    config = RlConfig(questions_per_update=size)
    return rl_sequences(groups, prompts, config=config, max_completion_tokens=40, **settings)  # type: ignore[arg-type]


def test_eight_zeros_and_a_demonstration_have_the_advantages_of_nine_completions() -> None:
    (made,) = steps([ZEROS], demonstrations=[DEMONSTRATION])
    assert [sequence.advantage for sequence in made] == pytest.approx([-1 / 9] * 8 + [8 / 9])
    assert made[-1] == replace(DEMONSTRATION, advantage=made[-1].advantage), "its tokens are as they were"
    (alone,) = steps([ZEROS])
    assert {sequence.advantage for sequence in alone} == {0.0}


def test_the_gradient_of_the_toy_is_the_one_worked_by_hand() -> None:
    """Nine completions of one token: eight of probability 0.5 that are wrong, and a demonstration of probability 0.1.

    Token-mean over 9 tokens. A rollout's gradient is that of -A l / 9 with A = -1/9 at ratio 1: 1/81. The demonstration
    maximises A p / (p + 0.1) with A = 8/9, whose derivative by log p is A * 0.1 p / (p + 0.1)^2 = 8/9 * 0.25 = 2/9.
    """
    logprobs = torch.tensor([math.log(0.5)] * 8 + [math.log(0.1)], requires_grad=True)
    tokens = PolicyTokens(
        logprobs_C=logprobs,
        # Of the demonstration there are none: whatever stands there has no say.
        old_logprobs_C=torch.tensor([math.log(0.5)] * 8 + [9.0]),
        sampling_logprobs_C=torch.tensor([math.log(0.5)] * 8 + [-9.0]),
        advantages_S=torch.tensor([-1 / 9] * 8 + [8 / 9]),
        sequence_C=torch.arange(9),
        loss_tokens_S=torch.ones(9),
        demonstrated_S=torch.tensor([False] * 8 + [True]),
    )
    for config in (RlConfig(), RlConfig(correction=CorrectionConfig()), RlConfig(loss=PpoConfig(clip=None))):
        logprobs.grad = None
        output = policy_loss(tokens, config, Counts(tokens=9, sequences=9))
        output.loss.backward()
        assert output.loss.item() == pytest.approx(-(8 * -1 / 9 + 8 / 9 * 0.5) / 9)
        assert logprobs.grad is not None
        assert logprobs.grad.tolist() == pytest.approx([1 / 81] * 8 + [-2 / 81])
        assert output.metrics["clip_fraction"] == 0
        assert output.metrics.get("correction_mean", torch.tensor(9.0)) == 9


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 1.0])
def test_what_is_sure_and_what_is_hopeless_moves_little(p: float) -> None:
    logprob = torch.tensor([math.log(p)], dtype=torch.float64, requires_grad=True)
    demonstration_objective(logprob, torch.ones(1, dtype=torch.float64)).backward()
    assert logprob.grad is not None and logprob.grad.item() == pytest.approx(0.1 * p / (p + 0.1) ** 2)


@pytest.mark.parametrize("budget", [16, 60, 400])
def test_through_the_model_and_however_the_batch_is_cut_the_loss_is_the_same(budget: int) -> None:
    (made,) = steps([ZEROS], demonstrations=[DEMONSTRATION])
    made = [replace(one, token_ids=tuple(max(3, token % 20) for token in one.token_ids)) for one in made]
    model = tiny_model()
    expected = 0.0
    for one in made:
        logprobs = plain_logprobs(model, one)[0].detach()
        p = torch.exp(logprobs)
        weight = p / (p + 0.1) if one.sampling_logprobs is None else torch.ones_like(p)
        expected -= float((weight * (one.advantage or 0.0)).sum())
    report = rl(model, adam(model), [made], budget=budget, lr=0.0)
    assert report.loss == pytest.approx(expected / sum(one.loss_tokens for one in made), rel=1e-4)
    sampled = [one for one in made if one.sampling_logprobs is not None]
    assert report.logprob_gap_mean == pytest.approx(rl(tiny_model(), adam(model), [sampled], lr=0.0).logprob_gap_mean)


def test_a_group_that_is_dropped_leaves_its_step_and_moves_no_other() -> None:
    groups = [group(name, [Status.WRONG, Status.CORRECT]) for name in "abcd"]
    whole, fewer = steps(groups), steps(groups, dropped={"b"})
    assert [[s.question_id for s in step] for step in fewer] == [["a", "a"], ["c", "c", "d", "d"]]
    assert fewer[1] == whole[1] and fewer[0] == whole[0][:2]
    assert steps(groups, dropped=set("abcd")) == [[], []]


def test_guided_groups_are_spread_over_the_steps_with_advantages_of_their_own_and_no_loss_on_the_prefix() -> None:
    groups = [group(name, [Status.WRONG, Status.CORRECT]) for name in "abcd"]
    beside = [
        GuidedGroup(prefix_ids=(13, 14), group=group("a", [Status.CORRECT, Status.WRONG, Status.WRONG, Status.WRONG])),
        GuidedGroup(prefix_ids=(15,), group=group("q", [Status.WRONG, Status.CORRECT])),
    ]
    whole, more = steps(groups), steps(groups, guided=beside)
    assert [step[: len(before)] for step, before in zip(more, whole, strict=True)] == whole
    added = [step[len(before) :] for step, before in zip(more, whole, strict=True)]
    assert [[s.advantage for s in step] for step in added] == [[0.75, -0.25, -0.25, -0.25], [-0.5, 0.5]]
    first = added[0][0]
    assert first.token_ids[:5] == (*PROMPT, 13, 14)
    assert first.loss_mask == (0,) * 5 + (1,) * 2
    assert first.sampling_logprobs == (0.0,) * 5 + (-1.0,) * 2
