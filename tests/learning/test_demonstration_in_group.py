"""A demonstration in its group, and groups that begin with a prefix: worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from learning_helpers import adam, plain_logprobs, rl, tiny_model

from relift.config import CorrectionConfig, KlConfig, PpoConfig, RlConfig
from relift.learning import Counts, PolicyTokens, policy_loss, rl_sequences
from relift.learning.losses import demonstration_objective
from relift.records import GuidedGroup, Prefix, RolloutGroup, Status, TrainingSequence
from tests.interleave.interleave_groups import group

PROMPT = (5, 6, 7)
ZEROS: RolloutGroup = group("q", [Status.WRONG] * 8)
DEMONSTRATION = TrainingSequence(question_id="q", token_ids=(*PROMPT, 11, 12, 2), loss_mask=(0, 0, 0, 1, 1, 1))


def steps(groups: list[RolloutGroup], size: int = 2, **settings: object) -> list[list[TrainingSequence]]:
    prompts = {one.question.id: PROMPT for one in [*groups, ZEROS]}
    config = RlConfig(questions_per_update=size)
    return rl_sequences(groups, prompts, config=config, max_completion_tokens=40, **settings)  # type: ignore[arg-type]


def test_eight_zeros_and_a_demonstration_have_the_advantages_of_nine_completions() -> None:
    (made,) = steps([ZEROS], taught=[DEMONSTRATION])
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


def test_neither_kl_nor_entropy_is_of_the_demonstration() -> None:
    """The policy did not sample it: of its token the gradient is -A p / (p + 0.1) 's alone, whatever stands beside."""
    config = RlConfig(kl=KlConfig(weight=0.5), entropy_weight=0.3)
    logprobs = torch.tensor([math.log(0.5), math.log(0.1)], requires_grad=True)
    tokens = PolicyTokens(
        logprobs_C=logprobs,
        old_logprobs_C=logprobs.detach(),
        sampling_logprobs_C=logprobs.detach(),
        reference_logprobs_C=torch.tensor([math.log(0.4), 90.0]),
        entropy_C=2 * logprobs,
        advantages_S=torch.tensor([-0.5, 0.5]),
        sequence_C=torch.arange(2),
        loss_tokens_S=torch.ones(2),
        demonstrated_S=torch.tensor([False, True]),
    )
    output = policy_loss(tokens, config, Counts(tokens=2, sequences=2))
    output.loss.backward()
    assert logprobs.grad is not None
    of_rollout = -0.5 - 0.5 * (1 - 0.4 / 0.5) + 0.3 * 2
    assert logprobs.grad.tolist() == pytest.approx([-of_rollout / 2, -0.5 * 0.25 / 2])
    assert output.metrics["kl"].item() == pytest.approx(0.4 / 0.5 - math.log(0.4 / 0.5) - 1)


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 1.0])
def test_what_is_sure_and_what_is_hopeless_moves_little(p: float) -> None:
    logprob = torch.tensor([math.log(p)], dtype=torch.float64, requires_grad=True)
    demonstration_objective(logprob, torch.ones(1, dtype=torch.float64)).backward()
    assert logprob.grad is not None and logprob.grad.item() == pytest.approx(0.1 * p / (p + 0.1) ** 2)


@pytest.mark.parametrize("budget", [16, 60, 400])
def test_through_the_model_and_however_the_batch_is_cut_the_loss_is_the_same(budget: int) -> None:
    (made,) = steps([ZEROS], taught=[DEMONSTRATION])
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
        GuidedGroup(
            prefix=Prefix(question_id="a", token_ids=(13, 14)),
            group=group("a", [Status.CORRECT, Status.WRONG, Status.WRONG, Status.WRONG]),
        ),
        GuidedGroup(prefix=Prefix(question_id="q", token_ids=(15,)), group=group("q", [Status.WRONG, Status.CORRECT])),
    ]
    whole, more = steps(groups), steps(groups, guided=beside)
    assert [step[: len(before)] for step, before in zip(more, whole, strict=True)] == whole
    added = [step[len(before) :] for step, before in zip(more, whole, strict=True)]
    assert [[s.advantage for s in step] for step in added] == [[0.75, -0.25, -0.25, -0.25], [-0.5, 0.5]]
    first = added[0][0]
    assert first.token_ids[:5] == (*PROMPT, 13, 14)
    assert first.loss_mask == (0,) * 5 + (1,) * 2
    assert first.sampling_logprobs == (0.0,) * 5 + (-1.0,) * 2


def test_where_the_plain_group_is_eight_zeros_the_guided_group_alone_moves_the_policy_and_only_after_its_prefix() -> (
    None
):
    """A policy of one token with two states: log-odds of the right token without (u) and with (v) the prefix given.

    Eight plain rollouts are wrong: A = 0, and so is the derivative by u. Of four after the prefix one is right: A = 3/4
    and three times -1/4. With p the probability of right, d log p / dv = 1 - p and d log(1 - p) / dv = -p, so the
    derivative of -sum(A l) / 12 by v is -(3/4 (1 - p) + 3/4 p) / 12 = -1/16, whatever p. Of the prefix there is none.
    """
    prefix = Prefix(question_id="q", token_ids=(13, 14))
    helped = group("q", [Status.CORRECT] + [Status.WRONG] * 3, tokens=1)
    (made,) = steps([group("q", [Status.WRONG] * 8, tokens=1)], guided=[GuidedGroup(prefix=prefix, group=helped)])
    assert [one.loss_tokens for one in made] == [1] * 12, "the prefix is masked"
    odds = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    is_right = torch.tensor([False] * 8 + [True] + [False] * 3)
    state = torch.tensor([int(one.token_ids[3:5] == prefix.token_ids) for one in made])
    assert state.tolist() == [0] * 8 + [1] * 4
    logprobs = torch.nn.functional.logsigmoid(torch.where(is_right, odds[state], -odds[state]))
    tokens = PolicyTokens(
        logprobs_C=logprobs,
        old_logprobs_C=logprobs.detach(),
        sampling_logprobs_C=logprobs.detach(),
        advantages_S=torch.tensor([one.advantage for one in made], dtype=torch.float64),
        sequence_C=torch.arange(12),
        loss_tokens_S=torch.ones(12, dtype=torch.float64),
        demonstrated_S=torch.zeros(12, dtype=torch.bool),
    )
    policy_loss(tokens, RlConfig(), Counts(tokens=12, sequences=12)).loss.backward()
    assert odds.grad is not None and odds.grad.tolist() == pytest.approx([0.0, -1 / 16])


def test_what_is_shown_in_a_prompt_moves_the_policy_by_its_own_groups_and_is_no_target() -> None:
    """ZPPO on a policy of one token with three states: log-odds of the right token for the question as it is (u), with
    two candidates in its prompt (v) and with mistakes (w).

    Eight rollouts of the batch are wrong: A = 0. Asked again one of four is right, with candidates two of eight, with
    mistakes one of four; 24 tokens in all. With r of G right, A is 1 - r/G and -r/G, and as above the derivative of
    -sum(A l) / 24 by the log-odds is -r (1 - r/G) / 24, whatever p: -3/4, -3/2 and -3/4 of 1/24.
    """
    prompts: tuple[tuple[int, ...], ...] = ((), (5, 6, 13), (5, 6, 14, 15))
    right = ([1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0])
    beside = [
        GuidedGroup(
            prefix=Prefix(question_id="q", prompt_ids=prompt, demonstration_id=""),
            group=group("q", [Status.CORRECT if one else Status.WRONG for one in found], tokens=1),
        )
        for prompt, found in zip(prompts, right, strict=True)
    ]
    (made,) = steps([group("q", [Status.WRONG] * 8, tokens=1)], guided=beside)
    assert [one.loss_tokens for one in made] == [1] * 24, "prompts are masked"
    asked = [one.token_ids[: -one.loss_tokens] for one in made]
    state = torch.tensor([max(0, [PROMPT, *prompts[1:]].index(prompt)) for prompt in asked])
    assert state.tolist() == [0] * 12 + [1] * 8 + [2] * 4
    odds = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64, requires_grad=True)
    is_right = torch.tensor([False] * 8 + [bool(one) for found in right for one in found])
    logprobs = torch.nn.functional.logsigmoid(torch.where(is_right, odds[state], -odds[state]))
    tokens = PolicyTokens(
        logprobs_C=logprobs,
        old_logprobs_C=logprobs.detach(),
        advantages_S=torch.tensor([one.advantage for one in made], dtype=torch.float64),
        sequence_C=torch.arange(24),
        loss_tokens_S=torch.ones(24, dtype=torch.float64),
    )
    policy_loss(tokens, RlConfig(), Counts(tokens=24, sequences=24)).loss.backward()
    assert odds.grad is not None and (24 * odds.grad).tolist() == pytest.approx([-3 / 4, -3 / 2, -3 / 4])
