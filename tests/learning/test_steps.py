"""One optimizer step: when it is not taken, what is counted, and in which precision."""

import dataclasses
import math

import pytest
import torch
from learning_helpers import UNEVEN, adam, sequences, tiny_model, weights

from relift.config import AdamConfig
from relift.learning.batching import micro_batches
from relift.learning.forward import token_logprobs
from relift.learning.losses import Counts, sft_loss
from relift.learning.optimizers import NORMS_KEPT, StepHistory, history_of, optimizer_tensors
from relift.learning.steps import Tally, optimizer_step, refusal, skip_steps

SPIKES = AdamConfig(skip_spike=2.0, grad_clip=1e9)


class Line(torch.nn.Module):
    """Two weights whose gradient a test sets: (3, 4) has norm 5, exactly in float32 too."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))


def step(model, optimizer, norm, config, tally=None):
    """One optimizer step whose gradient has that norm; whether it was taken."""
    loss = (model.weight * torch.tensor([0.6, 0.8], dtype=torch.float64) * norm).sum()
    zero = torch.zeros(())
    part = sft_loss(zero.reshape(1), zero.reshape(1), alpha=0.0, token_count=1)
    parts = [dataclasses.replace(part, loss=loss)]
    return optimizer_step(model, optimizer, parts, config=config, tally=tally or Tally(), check=lambda: None)


def history(*norms):
    return StepHistory(taken=len(norms), norms=norms)


def refused(norm, config, *norms):
    return refusal(norm, config, history(*norms)) is not None


# ---------------------------------------------------------------- when a step is not taken


def test_a_norm_above_so_many_times_the_median_is_a_spike():
    # Sorted 1 2 3 4 5 6 7 30: the median is 4.5, twice that 9. The mean would be 7.25 and let 14 pass.
    norms = (30.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0)
    assert [refused(norm, SPIKES, *norms) for norm in (0.0, 9.0, 9.001, 14.0)] == [False, False, True, True]
    # Of nine the median is the fifth, 5: twice that 10.
    assert [refused(norm, SPIKES, *norms, 8.0) for norm in (10.0, 10.001)] == [False, True]


def test_before_eight_steps_were_taken_nothing_is_a_spike():
    assert not refused(1000.0, SPIKES, *[1.0] * 7)
    assert refused(1000.0, SPIKES, *[1.0] * 8)


def test_without_the_setting_nothing_is_a_spike():
    assert not refused(1000.0, AdamConfig(), *[1.0] * 32)


@pytest.mark.parametrize("norm", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_is_always_refused(norm):
    assert refusal(norm, AdamConfig(), history()) == "is not finite"


def test_the_reason_says_which_rule_and_its_numbers():
    both = AdamConfig(skip_above=6.0, skip_spike=3.0)
    assert refusal(7.0, both, history()) == "is above skip_above=6"
    assert refusal(6.0, both, history(*[1.5] * 8)) == "is above skip_spike=3 times the usual 1.5"
    assert refusal(4.5, both, history(*[1.5] * 8)) is None


def test_the_usual_norm_is_that_of_the_last_32_steps_taken():
    model = Line()
    optimizer = adam(model, lr=0.001)
    for norm in [5.0] * 32 + [10.0] * 16:
        assert step(model, optimizer, norm, SPIKES)
    # The window holds 16 times 5 and 16 times 10: median 7.5, limit 15. Over all 48 it would be 5 and 10.
    found = history_of(optimizer)
    assert (found.taken, found.norms) == (48, (5.0,) * 16 + (10.0,) * 16)
    assert [step(model, optimizer, norm, SPIKES) for norm in (15.5, 15.0)] == [False, True]


def test_a_spike_leaves_weights_moments_and_the_usual_norm_as_they_were():
    model, tally = Line(), Tally()
    optimizer = adam(model, lr=0.1)
    for _ in range(NORMS_KEPT):
        step(model, optimizer, 5.0, SPIKES)
    before = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    at = weights(model)
    for _ in range(40):  # so many that they would be the usual ones, if they counted
        assert not step(model, optimizer, 50.0, SPIKES, tally)
    assert torch.equal(model.weight, at["weight"]) and model.weight.grad is None
    after = optimizer_tensors(optimizer)
    assert after.pop("history.counts").tolist() == [32, 0, 40]
    before.pop("history.counts")
    assert all(torch.equal(before[name], after[name]) for name in after) and before.keys() == after.keys()
    assert (tally.steps, tally.refused, tally.grad_norm) == (0, 40, 50.0)


# ---------------------------------------------------------------- what is counted


def test_each_optimizer_counts_its_own_steps_over_all_updates():
    model = Line()
    for_rl, for_sft = adam(model), adam(model)
    limit = AdamConfig(skip_above=100.0)
    for norm in (5.0, 200.0, 10.0):
        step(model, for_rl, norm, limit)
    skip_steps(for_rl, 2, tally := Tally())
    skip_steps(for_rl, 1, Tally())
    step(model, for_sft, 50.0, limit)
    assert history_of(for_rl) == StepHistory(taken=2, skipped=3, refused=1, norms=(5.0, 10.0))
    assert history_of(for_sft) == StepHistory(taken=1, norms=(50.0,))
    assert tally.skipped == 2


# ---------------------------------------------------------------- precision


def test_in_bfloat16_loss_gradient_norm_and_moments_are_float32():
    model, made = tiny_model(), sequences(UNEVEN, demonstration=True)
    optimizer = adam(model, lr=0.01)
    seen = []
    count = Counts.of(made).tokens

    def parts():
        for batch in micro_batches(made, max_tokens=60):
            logprobs_C, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=20, chunk_tokens=16)
            part = sft_loss(logprobs_C, None, alpha=0.0, token_count=count)
            seen.append((logprobs_C.dtype, part.loss.dtype))
            yield part

    def gradients():
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    optimizer.register_step_pre_hook(lambda *_: seen.append([g.clone() for g in gradients()]))
    config, tally = AdamConfig(grad_clip=0.25), Tally()
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        for part in parts():
            part.loss.backward()
        whole = [gradient.double() for gradient in gradients()]
        optimizer.zero_grad()
        seen.clear()
        assert optimizer_step(model, optimizer, parts(), config=config, tally=tally, check=lambda: None)
    *dtypes, clipped = seen
    assert len(dtypes) > 1 and set(dtypes) == {(torch.float32, torch.float32)}
    assert {g.dtype for g in clipped} == {torch.float32} == {parameter.dtype for parameter in model.parameters()}
    # Against float64; a norm or a clip in bfloat16 would be off by up to 4e-3.
    norm = math.sqrt(sum(float(g.square().sum()) for g in whole))
    assert norm > 0.25
    assert tally.grad_norm == pytest.approx(norm, rel=1e-6)
    assert all(torch.allclose(c.double(), g * (0.25 / norm), rtol=1e-5) for c, g in zip(clipped, whole, strict=True))
    moments = {name: t for name, t in optimizer_tensors(optimizer).items() if "exp_avg" in name}
    assert {t.dtype for t in moments.values()} == {torch.float32}
