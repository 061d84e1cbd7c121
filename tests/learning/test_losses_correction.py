"""Importance weights for the engine's gap and the KL to the reference, worked by hand."""

import math

import pytest
import torch

from relift.config import CorrectionConfig, KlConfig, PpoConfig, RlConfig
from relift.learning import Counts, PolicyTokens, policy_loss
from relift.learning.correction import importance_weights, kl_estimate

# Weights of the tokens: 0.5, 3, 1 in a sequence (product 1.5) and 2.5 in another.
SEQUENCE, TOKENS = torch.tensor([0, 0, 0, 1]), torch.tensor([3.0, 1.0])
SAMPLER = torch.tensor([-1.0, -2.0, -0.5, -3.0])
OLD = SAMPLER + torch.log(torch.tensor([0.5, 3.0, 1.0, 2.5]))


@pytest.mark.parametrize(
    ("settings", "expected", "bounded"),
    [
        ({"high": 2}, [0.5, 2, 1, 2], [0, 1, 0, 1]),
        ({"mode": "mask", "high": 2}, [0.5, 0, 1, 0], [0, 1, 0, 1]),
        ({"mode": "mask", "high": 2.7, "low": 0.6}, [0, 0, 1, 2.5], [1, 1, 0, 0]),
        ({"level": "sequence", "high": 2}, [1.5, 1.5, 1.5, 2], [0, 0, 0, 1]),
        ({"level": "sequence", "mode": "mask", "high": 2}, [1.5, 1.5, 1.5, 0], [0, 0, 0, 1]),
    ],
)
def test_the_published_forms_worked_by_hand(settings, expected, bounded):
    weights, outside = importance_weights(OLD, SAMPLER, SEQUENCE, TOKENS, CorrectionConfig(**settings))
    assert weights.tolist() == pytest.approx(expected)
    assert outside.int().tolist() == bounded


def test_a_token_that_the_engine_thought_impossible_is_bounded_not_infinite():
    sampler = torch.tensor([-math.inf, -200.0, -1.0, -1.0])
    for level in ("token", "sequence"):
        weights, _ = importance_weights(
            torch.full((4,), -1.0), sampler, SEQUENCE, TOKENS, CorrectionConfig(level=level, high=2)
        )
        assert weights[:2].tolist() == [2, 2]


def corrected(new, *, tokens=None, **settings):
    given = PolicyTokens(
        logprobs_C=new,
        old_logprobs_C=OLD,
        advantages_S=torch.tensor([2.0, -1.0]),
        sequence_C=SEQUENCE,
        loss_tokens_S=TOKENS,
        sampling_logprobs_C=SAMPLER,
        **(tokens or {}),
    )
    config = RlConfig(loss=PpoConfig(clip=None), **settings)
    return policy_loss(given, config, Counts(tokens=4, sequences=2, max_completion_tokens=10))


@pytest.mark.parametrize(
    ("aggregation", "denominators"), [("token-mean", [4, 4]), ("seq-mean", [6, 2]), ("constant", [20, 20])]
)
def test_a_masked_token_has_no_gradient_and_stays_in_the_denominator(aggregation, denominators):
    new = OLD.clone().requires_grad_()
    output = corrected(new, aggregation=aggregation, correction=CorrectionConfig(mode="mask", high=2))
    output.loss.backward()
    long, short = denominators
    assert new.grad.tolist() == pytest.approx([-2 * 0.5 / long, 0.0, -2 * 1.0 / long, 1 * 0.0 / short])
    assert output.metrics["correction_mean"].item() == pytest.approx(1.5)
    assert output.metrics["bounded_fraction"].item() == 2


def test_the_weights_carry_no_gradient():
    old, sampler = OLD.clone().requires_grad_(), SAMPLER.clone().requires_grad_()
    weights, _ = importance_weights(old, sampler, SEQUENCE, TOKENS, CorrectionConfig())
    assert not weights.requires_grad


def test_neither_kl_nor_entropy_is_weighed_by_the_correction():
    new = OLD.clone()
    terms = {"kl": KlConfig(weight=0.5, estimator="k1"), "entropy_weight": 0.1}
    tokens = {"reference_logprobs_C": OLD - 1.0, "entropy_C": torch.full((4,), 2.0)}
    mask = CorrectionConfig(mode="mask", high=1, low=1)  # only the third token is within
    output = corrected(new, tokens=tokens, correction=mask, **terms)
    assert output.loss.item() == pytest.approx((-2.0 + 0.5 * 4 * 1.0 - 0.1 * 4 * 2.0) / 4)
    assert output.metrics["kl"].item() == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("estimator", "value", "slope"),
    [
        # d = l - l_reference = ln 2: the reference has half the probability.
        ("k1", math.log(2), 1.0),
        ("k2", math.log(2) ** 2 / 2, math.log(2)),
        ("k3", 0.5 - 1 + math.log(2), 1 - 0.5),
    ],
)
def test_the_kl_estimators_worked_by_hand(estimator, value, slope):
    logprob = torch.tensor([math.log(0.4)], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([math.log(0.2)], dtype=torch.float64)
    kl = kl_estimate(logprob, reference, estimator)
    kl.sum().backward()
    assert (kl.item(), logprob.grad.item()) == pytest.approx((value, slope))


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_the_unbiased_estimators_average_to_the_kl(estimator):
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    exact = (policy * (policy / reference).log()).sum()
    mean = (policy * kl_estimate(policy.log(), reference.log(), estimator)).sum()
    torch.testing.assert_close(mean, exact)


def test_k3_keeps_its_digits_where_policy_and_reference_nearly_agree():
    # d = 1e-4: d^2 / 2 = 5e-9, where exp(-d) - 1 + d in float32 knows steps of 6e-8 only.
    kl = kl_estimate(torch.tensor([-1e-4]), torch.tensor([-2e-4]), "k3")
    assert kl.item() == pytest.approx(5e-9, rel=0.01)


@pytest.mark.parametrize(
    ("estimator", "direction"), [("k1", "none"), ("k2", "policy to reference"), ("k3", "reference to policy")]
)
def test_what_each_estimator_descends_on_average(estimator, direction):
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    reference = torch.log_softmax(torch.tensor([-0.5, 0.4, 0.1], dtype=torch.float64), 0)
    logprobs = torch.log_softmax(logits, 0)
    expected_loss = (logprobs.exp().detach() * kl_estimate(logprobs, reference, estimator)).sum()
    (got,) = torch.autograd.grad(expected_loss, logits, retain_graph=True)
    if direction == "none":
        want = torch.zeros(3, dtype=torch.float64)
    else:
        forwards = direction == "policy to reference"
        first, second = (logprobs, reference) if forwards else (reference, logprobs)
        (want,) = torch.autograd.grad((first.exp() * (first - second)).sum(), logits)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_k3_is_bounded_where_a_token_has_become_impossible_and_has_no_gradient_there():
    logprobs = torch.tensor([-0.5, -2.9, -4.0, -90.0, -3.0e38], requires_grad=True)
    kl = kl_estimate(logprobs, torch.full((5,), -0.5), "k3")
    assert kl.tolist() == pytest.approx([0, math.exp(2.4) - 1 - 2.4, 10, 10, 10], rel=1e-5)
    kl.sum().backward()
    assert logprobs.grad.tolist() == pytest.approx([0, 1 - math.exp(2.4), 0, 0, 0], rel=1e-5)
