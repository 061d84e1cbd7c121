"""The losses with numbers worked by hand: aggregation, entropy, supervised weights."""

import math

import pytest
import torch

from relift.config import ClipConfig, CorrectionConfig, GspoConfig, KlConfig, PpoConfig, RlConfig
from relift.learning import Counts, PolicyTokens, policy_loss, sft_loss

PAPER = ClipConfig(low=0.2, high=0.28, dual=3.0)

# Two sequences of 3 and 1 tokens in the loss. Ratio 1 everywhere, so a token's loss is -A: -2 three times, and +1.
SEQUENCE = torch.tensor([0, 0, 0, 1])
TOKENS = torch.tensor([3.0, 1.0])
ADVANTAGES = torch.tensor([2.0, -1.0])
COUNTS = Counts(tokens=4, sequences=2, max_completion_tokens=10)


def policy(logprobs, *, old=None, counts=COUNTS, clip=PAPER, entropy=None, **settings):
    tokens = PolicyTokens(
        logprobs_C=logprobs,
        old_logprobs_C=logprobs.detach() if old is None else old,
        advantages_S=ADVANTAGES,
        sequence_C=SEQUENCE,
        loss_tokens_S=TOKENS,
        entropy_C=entropy,
    )
    return policy_loss(tokens, RlConfig(loss=PpoConfig(clip=clip), **settings), counts)


@pytest.mark.parametrize(
    ("aggregation", "expected", "gradient"),
    [
        ("token-mean", (-2 - 2 - 2 + 1) / 4, [-2 / 4] * 3 + [1 / 4]),
        ("seq-mean", ((-2 - 2 - 2) / 3 + 1 / 1) / 2, [-2 / 6] * 3 + [1 / 2]),
        ("constant", (-2 - 2 - 2 + 1) / (2 * 10), [-2 / 20] * 3 + [1 / 20]),
    ],
)
def test_the_three_aggregations_and_their_reinforce_gradient(aggregation, expected, gradient):
    logprobs = torch.tensor([-1.0, -2, -0.5, -3], requires_grad=True)
    output = policy(logprobs, aggregation=aggregation)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(expected)
    assert logprobs.grad.tolist() == pytest.approx(gradient)
    assert output.tokens.item() == 4


def test_the_callers_counts_are_the_denominator():
    # Four more tokens and two more sequences without signal: nothing is added to the sums.
    counts, zeros = Counts(tokens=8, sequences=4, max_completion_tokens=10), torch.zeros(4)
    assert policy(zeros, counts=counts).loss.item() == pytest.approx(-5 / 8)
    assert policy(zeros, counts=counts, aggregation="seq-mean").loss.item() == pytest.approx(-1 / 4)
    assert policy(zeros, counts=counts, aggregation="constant").loss.item() == pytest.approx(-5 / 40)


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean", "constant"])
@pytest.mark.parametrize("loss", [PpoConfig(clip=None), GspoConfig(clip=None)])
def test_a_sequence_without_tokens_in_the_loss_adds_nothing(aggregation, loss):
    nothing, nowhere = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    tokens = PolicyTokens(
        logprobs_C=nothing,
        old_logprobs_C=nothing,
        advantages_S=torch.ones(1),
        sequence_C=nowhere,
        loss_tokens_S=torch.zeros(1),
    )
    output = policy_loss(tokens, RlConfig(loss=loss, aggregation=aggregation), COUNTS)
    assert (output.loss.item(), output.tokens.item()) == (0.0, 0.0)


def test_entropy_enters_under_the_aggregation_of_its_token():
    entropy = torch.tensor([1.0, 2, 3, 4], requires_grad=True)
    zeros = torch.zeros(4)
    output = policy(zeros, entropy=entropy, entropy_weight=0.1, aggregation="seq-mean")
    output.loss.backward()
    assert output.loss.item() == pytest.approx(-1 / 2 - 0.1 * ((1 + 2 + 3) / 3 + 4) / 2)
    assert entropy.grad.tolist() == pytest.approx([-0.1 / 6] * 3 + [-0.1 / 2])
    assert output.metrics["entropy"].item() == 10


def test_an_entropy_without_a_weight_is_summed_and_left_out_of_the_loss():
    output = policy(torch.zeros(4), entropy=torch.tensor([1.0, 2, 3, 4]))
    assert output.loss.item() == pytest.approx(-5 / 4)
    assert output.metrics["entropy"].item() == 10


def test_clipped_tokens_are_counted():
    # A = 2: 1.5 is clipped, 1.0 and 0.5 are not. A = -1: 5 meets the dual clip.
    output = policy(torch.log(torch.tensor([1.5, 1.0, 0.5, 5.0])), old=torch.zeros(4))
    assert output.metrics["clip_fraction"].item() == 2
    free = policy(torch.log(torch.tensor([1.5, 1.0, 0.5, 5.0])), old=torch.zeros(4), clip=None)
    assert free.metrics["clip_fraction"] == 0


@pytest.mark.parametrize("missing", ["entropy_weight", "kl", "correction"])
def test_a_term_without_what_it_needs_is_not_left_out_in_silence(missing):
    setting = {"entropy_weight": 0.1, "kl": KlConfig(), "correction": CorrectionConfig()}[missing]
    with pytest.raises(AssertionError):
        policy(torch.zeros(4), **{missing: setting})


# ---------------------------------------------------------------- supervised


def test_sft_loss_worked_by_hand():
    logprobs, entropy = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([0.5, 1.5, 2.0])
    output = sft_loss(logprobs, entropy, alpha=0.1, token_count=6)
    assert output.loss.item() == pytest.approx((1 + 2 + 3) / 6 - 0.1 * (0.5 + 1.5 + 2) / 6)
    assert (output.metrics["entropy"].item(), output.tokens.item()) == (4.0, 3.0)
    assert sft_loss(logprobs, None, alpha=0.0, token_count=3).loss.item() == pytest.approx(2.0)
    assert sft_loss(logprobs, entropy, alpha=0.0, token_count=3).loss.item() == pytest.approx(2.0)


def test_the_weight_p_times_one_minus_p_is_a_constant_of_each_token():
    logprobs = torch.log(torch.tensor([0.5, 0.9, 1.0], dtype=torch.float64)).requires_grad_()
    output = sft_loss(logprobs, None, alpha=0.0, token_count=3, token_weights="p(1-p)")
    output.loss.backward()
    assert output.loss.item() == pytest.approx((0.25 * math.log(2) - 0.09 * math.log(0.9)) / 3)
    assert logprobs.grad.tolist() == pytest.approx([-0.25 / 3, -0.09 / 3, 0.0])


def test_only_tokens_of_high_entropy_are_learned_and_all_of_them_counted():
    logprobs = torch.tensor([-1.0, -2.0, -4.0], requires_grad=True)
    entropy = torch.tensor([0.5, 0.7, 2.0], requires_grad=True)
    output = sft_loss(logprobs, entropy, alpha=0.1, token_count=3, token_weights="high-entropy", entropy_threshold=0.7)
    output.loss.backward()
    assert output.loss.item() == pytest.approx((0 + 2 + 4) / 3 - 0.1 * 3.2 / 3)
    assert logprobs.grad.tolist() == pytest.approx([0.0, -1 / 3, -1 / 3])
    assert entropy.grad.tolist() == pytest.approx([-0.1 / 3] * 3), "the bonus is on every token"


@pytest.mark.parametrize(("weights", "threshold"), [("none", None), ("p(1-p)", None), ("high-entropy", 0.672)])
def test_the_supervised_loss_adds_up_over_micro_batches(weights, threshold):
    generator = torch.Generator().manual_seed(0)
    logprobs = -3 * torch.rand(20, generator=generator, dtype=torch.float64)
    entropy = 2 * torch.rand(20, generator=generator, dtype=torch.float64)

    def loss(part):
        return sft_loss(
            logprobs[part],
            entropy[part],
            alpha=0.05,
            token_count=20,
            token_weights=weights,
            entropy_threshold=threshold,
        ).loss

    whole = loss(torch.arange(20))
    for sizes in ([1] * 20, [17, 1, 2], [10, 10]):
        parts = torch.split(torch.randperm(20, generator=generator), sizes)
        torch.testing.assert_close(sum(loss(part) for part in parts), whole, rtol=1e-12, atol=1e-12)
