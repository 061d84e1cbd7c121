"""Ratios and surrogates worked by hand, with the points where no gradient passes."""

import math

import pytest
import torch

from relift.config import CispoClipConfig, ClipConfig
from relift.learning.surrogate import cispo_surrogate, clipped_surrogate, policy_ratio

PAPER = ClipConfig(low=0.2, high=0.28, dual=3.0)


def surrogate_and_slope(advantage, ratio, clip=PAPER):
    """s, and its derivative by the log-probability divided by ratio * A: 1 where the gradient passes, else 0."""
    logprob = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    surrogate, clipped = clipped_surrogate(torch.exp(logprob), torch.tensor([advantage], dtype=torch.float64), clip)
    surrogate.backward()
    slope = logprob.grad.item() / (ratio * advantage)
    assert clipped.item() is (slope == 0)
    return surrogate.item(), slope


@pytest.mark.parametrize(
    ("advantage", "ratio", "expected", "slope"),
    [
        (1.0, 1.5, 1.28, 0),
        (1.0, 0.5, 0.5, 1),
        (-1.0, 0.5, -0.8, 0),
        (-1.0, 1.5, -1.5, 1),
        (-1.0, 5.0, -3.0, 0),
        (1.0, 1.27, 1.27, 1),
        (-1.0, 2.9, -2.9, 1),
        (2.0, 5.0, 2.56, 0),
    ],
)
def test_the_clipped_surrogate_worked_by_hand(advantage, ratio, expected, slope):
    assert surrogate_and_slope(advantage, ratio) == pytest.approx((expected, slope))


def test_without_dual_clip_or_without_clip_the_penalty_is_not_bounded():
    assert surrogate_and_slope(-1.0, 5.0, ClipConfig(dual=None)) == pytest.approx((-5.0, 1))
    assert surrogate_and_slope(1.0, 5.0, None) == pytest.approx((5.0, 1))
    assert surrogate_and_slope(-1.0, 0.1, None) == pytest.approx((-0.1, 1))


@pytest.mark.parametrize(
    ("ratio", "weight"),
    [(1.5, 1.28), (5.0, 1.28), (1.1, 1.1), (0.5, 0.8)],
)
@pytest.mark.parametrize("advantage", [2.0, -1.0])
def test_cispo_keeps_the_gradient_of_every_token_weighed_by_its_clipped_ratio(advantage, ratio, weight):
    logprob = torch.tensor([-0.7], dtype=torch.float64, requires_grad=True)
    old = logprob.detach() - math.log(ratio)
    surrogate, clipped = cispo_surrogate(
        torch.exp(logprob - old), logprob, torch.tensor([advantage], dtype=torch.float64), ClipConfig(dual=None)
    )
    surrogate.backward()
    assert surrogate.item() == pytest.approx(weight * advantage * -0.7)
    assert logprob.grad.item() == pytest.approx(weight * advantage)
    assert clipped.item() is (weight != ratio)


def test_a_lower_bound_of_one_clips_no_small_ratio_in_cispo():
    logprob = torch.tensor([-0.7], dtype=torch.float64)
    surrogate, _ = cispo_surrogate(torch.tensor([1e-6]), logprob, torch.ones(1), CispoClipConfig(low=1, high=4))
    assert surrogate.item() == pytest.approx(1e-6 * -0.7)


# Two sequences, of 2 and 1 tokens in the loss. Log-ratios 0.1, 0.3 and -0.5: means 0.2 and -0.5.
SEQUENCE, TOKENS = torch.tensor([0, 0, 1]), torch.tensor([2.0, 1.0], dtype=torch.float64)
NEW = torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64)
OLD = NEW - torch.tensor([0.1, 0.3, -0.5], dtype=torch.float64)


def test_the_token_ratio_is_each_tokens_own():
    ratio = policy_ratio(NEW, OLD, SEQUENCE, TOKENS, "token")
    assert ratio.tolist() == pytest.approx([math.exp(0.1), math.exp(0.3), math.exp(-0.5)])


def test_the_sequence_ratio_is_the_geometric_mean_and_its_gradient_is_shared_by_the_tokens():
    new = NEW.clone().requires_grad_()
    ratio = policy_ratio(new, OLD, SEQUENCE, TOKENS, "sequence")
    assert ratio.tolist() == pytest.approx([math.exp(0.2), math.exp(0.2), math.exp(-0.5)])
    # The objective of GSPO is one ratio a sequence; its two tokens in the seq-mean share it.
    (ratio / TOKENS[SEQUENCE]).sum().backward()
    assert new.grad.tolist() == pytest.approx([math.exp(0.2) / 2, math.exp(0.2) / 2, math.exp(-0.5)])


def test_a_sequence_ratio_out_of_bounds_silences_the_whole_sequence():
    new = NEW.clone().requires_grad_()
    ratio = policy_ratio(new, OLD, SEQUENCE, TOKENS, "sequence")
    # exp(0.2) = 1.22 is above 1.15, though the first token's own ratio, exp(0.1) = 1.105, is not.
    surrogate, clipped = clipped_surrogate(ratio, torch.ones(3), ClipConfig(low=0.2, high=0.15, dual=None))
    surrogate.sum().backward()
    assert new.grad.tolist() == pytest.approx([0.0, 0.0, math.exp(-0.5)])
    assert clipped.tolist() == [True, True, False]


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_a_ratio_is_bounded_as_in_verl_and_has_no_gradient_beyond(level):
    old = torch.tensor([-120.0, -1.0, -1.0])
    new = torch.tensor([-0.5, -120.0, -1.5], requires_grad=True)
    ratio = policy_ratio(new, old, torch.arange(3), torch.ones(3), level)
    assert ratio.tolist() == pytest.approx([math.exp(20), math.exp(-20), math.exp(-0.5)])
    surrogate, _ = clipped_surrogate(ratio, torch.tensor([-1.0, 1.0, 1.0]), None)
    assert surrogate.isfinite().all()
    surrogate.sum().backward()
    assert new.grad.tolist() == pytest.approx([0, 0, math.exp(-0.5)])
