import math

import pytest
import torch

from relift.config import ClipConfig
from relift.learning import Counts, policy_loss, sft_loss
from relift.learning.losses import clipped_surrogate

PAPER = ClipConfig(low=0.2, high=0.28, dual=3.0)


def surrogate_and_slope(advantage, ratio, clip=PAPER):
    """s, and its derivative by the log-probability divided by ratio * A: 1 where the gradient passes, else 0."""
    logprob = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    surrogate, _ = clipped_surrogate(torch.exp(logprob), torch.tensor([[advantage]], dtype=torch.float64), clip)
    surrogate.backward()
    return surrogate.item(), logprob.grad.item() / (ratio * advantage)


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


# Two sequences of 3 and 1 tokens in the loss. Ratio 1 everywhere, so a token's loss is -A: -2 three times, and +1.
MASK = torch.tensor([[0.0, 1, 1, 1], [0, 1, 0, 0]])
ADVANTAGES = torch.tensor([[2.0], [-1.0]])


def loss_at_ratio_1(aggregation, *, counts=None, copies=1, max_completion_tokens=10):
    mask, advantages = MASK.repeat(copies, 1), ADVANTAGES.repeat(copies, 1)
    zeros = torch.zeros_like(mask)
    counts = counts or Counts(tokens=4 * copies, sequences=2 * copies)
    return policy_loss(
        zeros,
        zeros,
        advantages,
        mask,
        clip=PAPER,
        aggregation=aggregation,
        counts=counts,
        max_completion_tokens=max_completion_tokens,
    ).loss.item()


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("token-mean", (-2 - 2 - 2 + 1) / 4),
        ("seq-mean", ((-2 - 2 - 2) / 3 + 1 / 1) / 2),
        ("constant", (-2 - 2 - 2 + 1) / (2 * 10)),
    ],
)
def test_the_three_aggregations_worked_by_hand(aggregation, expected):
    assert loss_at_ratio_1(aggregation) == pytest.approx(expected)


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean", "constant"])
def test_doubling_the_batch_with_copies_leaves_the_loss_unchanged(aggregation):
    assert loss_at_ratio_1(aggregation, copies=2) == pytest.approx(loss_at_ratio_1(aggregation))


def test_the_callers_counts_are_the_denominator():
    # Four more tokens and two more sequences without signal: nothing is added to the sums.
    counts = Counts(tokens=8, sequences=4)
    assert loss_at_ratio_1("token-mean", counts=counts) == pytest.approx(-5 / 8)
    assert loss_at_ratio_1("seq-mean", counts=counts) == pytest.approx(-1 / 4)
    assert loss_at_ratio_1("constant", counts=counts) == pytest.approx(-5 / 40)


def test_a_sequence_without_tokens_in_the_loss_adds_nothing():
    zeros = torch.zeros(1, 4)
    for aggregation in ("token-mean", "seq-mean", "constant"):
        output = policy_loss(
            zeros,
            zeros,
            torch.ones(1, 1),
            zeros,
            clip=None,
            aggregation=aggregation,
            counts=Counts(tokens=4, sequences=2),
            max_completion_tokens=10,
        )
        assert output.loss.item() == 0.0


def test_entropy_enters_the_policy_loss_under_the_same_denominator():
    entropy = torch.tensor([[9.0, 1, 2, 3], [9, 4, 9, 9]])
    zeros = torch.zeros_like(MASK)
    output = policy_loss(
        zeros,
        zeros,
        ADVANTAGES,
        MASK,
        clip=PAPER,
        aggregation="token-mean",
        counts=Counts(tokens=4, sequences=2),
        max_completion_tokens=10,
        entropy_BT=entropy,
        entropy_weight=0.1,
    )
    assert output.loss.item() == pytest.approx(-5 / 4 - 0.1 * (1 + 2 + 3 + 4) / 4)
    assert output.entropy_sum.item() == 10


def test_clipped_tokens_are_counted_inside_the_mask_only():
    logprobs = torch.log(torch.tensor([[5.0, 1.5, 1.0, 0.5], [5.0, 5.0, 1.0, 1.0]]))
    output = policy_loss(
        logprobs,
        torch.zeros_like(logprobs),
        ADVANTAGES,
        MASK,
        clip=PAPER,
        aggregation="token-mean",
        counts=Counts(tokens=4, sequences=2),
        max_completion_tokens=10,
    )
    # Row 0 (A = 2): 1.5 is clipped, 1.0 and 0.5 are not. Row 1 (A = -1): 5 meets the dual clip.
    assert output.clipped_tokens.item() == 2
    assert output.tokens.item() == 4


def test_sft_loss_worked_by_hand():
    logprobs = torch.tensor([[-9.0, -1.0, -2.0], [-9.0, -3.0, -9.0]])
    entropy = torch.tensor([[9.0, 0.5, 1.5], [9.0, 2.0, 9.0]])
    mask = torch.tensor([[0.0, 1, 1], [0, 1, 0]])
    output = sft_loss(logprobs, entropy, mask, alpha=0.1, token_count=6)
    assert output.loss.item() == pytest.approx((1 + 2 + 3) / 6 - 0.1 * (0.5 + 1.5 + 2) / 6)
    assert output.entropy_sum.item() == pytest.approx(4.0)
    assert sft_loss(logprobs, None, mask, alpha=0.0, token_count=3).loss.item() == pytest.approx(2.0)
