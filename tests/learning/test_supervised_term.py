"""Demonstrations beside the groups of an RL step: what switch and mixed make of a group of eight zeros, worked by hand.

Toys: rollouts of one token of probability 0.5, a demonstration of two tokens of probabilities 0.1 and 0.4.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from learning_helpers import NO_CLIP, RecordingOptimizer, plain_gradient, plain_logprobs, relative_error, rl, tiny_model

from relift.config import KlConfig, RlConfig
from relift.learning import Counts, PolicyTokens, policy_loss, rl_sequences
from relift.learning.losses import supervised_term
from relift.records import RolloutGroup, Status, Supervision, TrainingSequence
from tests.interleave.interleave_groups import group

PROMPTS = {"zeros": (5, 6, 7), "mixed": (8, 9), "more": (4, 3, 5, 6)}
ZEROS: RolloutGroup = group("zeros", [Status.WRONG] * 8)
MIXED: RolloutGroup = group("mixed", [Status.CORRECT] * 2 + [Status.WRONG] * 6)
MORE: RolloutGroup = group("more", [Status.CORRECT] * 4 + [Status.WRONG] * 4, tokens=3)
PLAIN, SPARING = Supervision(weight=1.0, token_weights="none"), Supervision(weight=0.25, token_weights="p(1-p)")


def demonstration(question: str, supervision: Supervision | None, *tokens: int) -> TrainingSequence:
    prompt = PROMPTS[question]
    return TrainingSequence(
        question_id=question,
        token_ids=(*prompt, *tokens),
        loss_mask=(0,) * len(prompt) + (1,) * len(tokens),
        supervision=supervision,
    )


def step(
    *groups: RolloutGroup, dropped: tuple[str, ...] = (), demonstrations: tuple[TrainingSequence, ...] = ()
) -> list[TrainingSequence]:
    (made,) = rl_sequences(
        groups,
        PROMPTS,
        config=RlConfig(questions_per_update=len(groups)),
        max_completion_tokens=40,
        dropped=dropped,
        taught=demonstrations,
    )
    return [replace(one, token_ids=tuple(max(3, token % 20) for token in one.token_ids)) for one in made]


def rl_toy(logprobs: torch.Tensor, advantages: list[float]) -> PolicyTokens:
    count = len(advantages)
    return PolicyTokens(
        logprobs_C=logprobs,
        old_logprobs_C=logprobs.detach(),
        advantages_S=torch.tensor(advantages),
        sequence_C=torch.arange(count),
        loss_tokens_S=torch.ones(count),
    )


def taught_toy(supervision: Supervision) -> torch.Tensor:
    """The gradient of the demonstration's two log-probabilities, alone in its step."""
    logprobs = torch.log(torch.tensor([0.1, 0.4])).requires_grad_()
    supervised_term(logprobs, torch.tensor([0, 0]), [supervision], token_count=2).loss.backward()
    assert logprobs.grad is not None
    return logprobs.grad


def test_switch_leaves_of_eight_zeros_the_mean_likelihood_of_the_demonstration() -> None:
    """Nothing of the rollouts is left, and of two tokens each is pulled up by half the coefficient."""
    made = step(ZEROS, dropped=("zeros",), demonstrations=(demonstration("zeros", PLAIN, 11, 12),))
    assert [one.supervision for one in made] == [PLAIN]
    assert taught_toy(PLAIN).tolist() == pytest.approx([-1 / 2, -1 / 2])
    assert taught_toy(replace(PLAIN, weight=0.3)).tolist() == pytest.approx([-0.15, -0.15])


def test_beside_a_mixed_group_each_term_has_its_own_denominator() -> None:
    """Two right of eight, advantages 3/4 and -1/4, over 8 tokens: -3/32 and 1/32, whatever the demonstration's."""
    made = step(ZEROS, MIXED, dropped=("zeros",), demonstrations=(demonstration("zeros", PLAIN, 11, 12),))
    sampled = [one for one in made if one.supervision is None]
    assert [one.advantage for one in sampled] == pytest.approx([3 / 4] * 2 + [-1 / 4] * 6)
    assert Counts.of(sampled).sequences == 8, "the zeros are in no denominator"
    logprobs = torch.full((8,), math.log(0.5), requires_grad=True)
    tokens = rl_toy(logprobs, [one.advantage or 0.0 for one in sampled])
    policy_loss(tokens, RlConfig(), Counts(tokens=8, sequences=8)).loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-3 / 32] * 2 + [1 / 32] * 6)


def test_mixed_weighs_both_terms_and_each_token_by_p_times_one_less_p() -> None:
    """mu 1/4: 0.25 * p (1 - p) / 2 of the demonstration's tokens, 3/4 of the rollouts' gradients."""
    assert taught_toy(SPARING).tolist() == pytest.approx([-0.25 * 0.09 / 2, -0.25 * 0.24 / 2])
    logprobs = torch.full((2,), math.log(0.5), requires_grad=True)
    tokens = rl_toy(logprobs, [0.5, -0.5])
    policy_loss(tokens, RlConfig(), Counts(tokens=2, sequences=2)).scaled(0.75).loss.backward()
    assert logprobs.grad is not None and logprobs.grad.tolist() == pytest.approx([-0.75 / 4, 0.75 / 4])


def test_nothing_of_an_empty_micro_batch_is_zero_and_no_fault() -> None:
    nothing = torch.empty(0, requires_grad=True)
    output = supervised_term(nothing, torch.empty(0, dtype=torch.int64), [], token_count=7)
    output.loss.backward()
    assert (output.loss.item(), output.tokens.item(), output.metrics) == (0, 0, {})


def whole_step() -> list[TrainingSequence]:
    lessons = (
        demonstration("zeros", PLAIN, 11, 12, 13, 14, 2),
        demonstration("mixed", SPARING, 3, 17, 2),
    )
    return step(ZEROS, MIXED, MORE, dropped=("zeros",), demonstrations=lessons)


def by_hand(model: torch.nn.Module, made: list[TrainingSequence], weight: float, temperature: float) -> torch.Tensor:
    """The loss of a step as it is defined, one sequence after the other."""
    sampled = [one for one in made if one.supervision is None]
    taught = [one for one in made if one.supervision is not None]
    total = torch.zeros((), dtype=torch.float64)
    for one in sampled:
        logprobs = plain_logprobs(model, one, temperature)[0]
        ratio = torch.exp(logprobs - logprobs.detach())
        total = total - weight * (ratio * (one.advantage or 0.0)).sum() / sum(s.loss_tokens for s in sampled)
    for one in taught:
        assert one.supervision is not None
        logprobs = plain_logprobs(model, one, 1.0)[0]
        p = torch.exp(logprobs.detach())
        phi = p * (1 - p) if one.supervision.token_weights == "p(1-p)" else torch.ones_like(p)
        term = (phi * -logprobs).sum() / sum(s.loss_tokens for s in taught)
        total = total + one.supervision.weight * term
    return total


@pytest.mark.parametrize("budget", [16, 60, 400])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_through_the_model_the_gradient_is_the_definitions_however_the_step_is_cut(
    budget: int, temperature: float
) -> None:
    """The supervised term at temperature 1, whatever the rollouts were sampled at."""
    model, made = tiny_model(), whole_step()
    want = plain_gradient(model, lambda copy: by_hand(copy, made, 0.75, temperature))
    optimizer = RecordingOptimizer(model)
    report = rl(model, optimizer, [made], budget=budget, temperature=temperature, rl_weight=0.75)
    (got,) = optimizer.steps
    assert relative_error(got, want) < 1e-5
    assert report.loss == pytest.approx(by_hand(model, made, 0.75, temperature).item(), rel=1e-4)
    assert (report.sequences, report.tokens) == (8 + 8 + 2, 8 * 2 + 8 * 3 + 5 + 3)


def test_a_step_that_only_teaches_is_taken_and_metrics_are_those_of_the_rollouts() -> None:
    lesson = demonstration("zeros", PLAIN, 11, 12, 2)
    only, silent = step(ZEROS, dropped=("zeros",), demonstrations=(lesson,)), step(ZEROS)
    model = tiny_model()
    optimizer = RecordingOptimizer(model)
    report = rl(model, optimizer, [silent, only, whole_step()])
    assert (report.steps, report.skipped) == (2, 1)
    expected = plain_gradient(model, lambda copy: -plain_logprobs(copy, only[0])[0].mean())
    assert relative_error(optimizer.steps[0], expected) < 1e-5
    alone = rl(model, RecordingOptimizer(model), [step(MIXED, MORE)])
    assert report.metrics == pytest.approx(alone.metrics)
    assert report.logprob_gap_mean == pytest.approx(alone.logprob_gap_mean)


def test_the_weight_of_the_rl_term_is_on_all_of_it() -> None:
    settings = {"kl": KlConfig(weight=0.1), "entropy_weight": 0.3, "reference": tiny_model(seed=1), "adamw": NO_CLIP}
    found = []
    for weight in (1.0, 0.25):
        model = tiny_model()
        optimizer = RecordingOptimizer(model)
        rl(model, optimizer, [step(MIXED, MORE)], rl_weight=weight, **settings)
        found.append(optimizer.steps[0])
    assert relative_error({name: 4 * gradient for name, gradient in found[1].items()}, found[0]) < 1e-5
