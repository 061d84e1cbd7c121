import dataclasses
import math

import pytest
import torch
from learning_helpers import (
    NO_CLIP,
    UNEVEN,
    RecordingOptimizer,
    adam,
    plain_logprobs,
    relative_error,
    rl,
    rl_gradient,
    sequences,
    sft,
    sft_gradient,
    tiny_model,
    weights,
    without_rewards,
)

from relift.config import AdamConfig
from relift.errors import Interrupted
from relift.learning import optimizer_tensors
from relift.learning.batching import micro_batches
from relift.learning.likelihoods import Likelihoods
from relift.learning.sharding import Ranks

# ---------------------------------------------------------------- clipping and refusing gradients


def test_the_gradient_is_clipped_once_after_the_last_micro_batch():
    made = sequences(UNEVEN)
    whole = rl_gradient(made)
    norm = math.sqrt(sum(float(g.square().sum()) for g in whole.values()))
    model = tiny_model()
    optimizer = RecordingOptimizer(model)
    report = rl(model, optimizer, [made], budget=60, adamw=AdamConfig(grad_clip=norm / 4))
    assert report.grad_norm == pytest.approx(norm, rel=1e-5)
    assert relative_error(optimizer.steps[0], {name: g / 4 for name, g in whole.items()}) < 1e-5


@pytest.mark.parametrize("fault", ["above the limit", "infinite", "not a number"])
def test_a_gradient_above_the_limit_or_not_finite_is_refused_and_counted(fault):
    made, demonstrations = sequences(UNEVEN), sequences(UNEVEN, demonstration=True)
    model = tiny_model()
    if fault == "infinite":
        model.model.norm.weight.register_hook(lambda gradient: torch.full_like(gradient, math.inf))
    if fault == "not a number":
        with torch.no_grad():
            model.model.norm.weight[0] = math.nan
    adamw = AdamConfig(skip_above=1e-6) if fault == "above the limit" else NO_CLIP
    before, optimizer = weights(model), adam(model)
    reports = [
        rl(model, optimizer, [made, made], lr=0.1, adamw=adamw),
        sft(model, optimizer, [demonstrations] * 2, lr=0.1, adamw=adamw).report,
    ]
    assert [(report.refused, report.steps, report.skipped) for report in reports] == [(2, 0, 0)] * 2
    assert [report.loss for report in reports] == [0.0, 0.0]
    assert all(math.isfinite(report.grad_norm) for report in reports)
    assert not [name for name in optimizer_tensors(optimizer) if not name.startswith("history.")]
    after = weights(model)
    assert all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)


# ---------------------------------------------------------------- reports


def test_the_gap_to_the_sampler_is_measured_over_trained_tokens_before_anything_moves():
    model = tiny_model()
    made = []
    for i, s in enumerate(sequences(UNEVEN)):
        with torch.no_grad():
            exact = plain_logprobs(model, s)[0]
        shifted = [float(x) + (0.25 if i == 0 else 0.0) for x in exact]
        prompt = len(s.token_ids) - len(shifted)
        made.append(dataclasses.replace(s, sampling_logprobs=(0.0,) * prompt + tuple(shifted)))
    for lr in (0.0, 0.05):
        moving = tiny_model()
        report = rl(moving, adam(moving), [made, made], lr=lr, budget=100)
        assert report.logprob_gap_mean == pytest.approx(0.25 * UNEVEN[0] / sum(UNEVEN), abs=1e-5)
        assert report.logprob_gap_max == pytest.approx(0.25, abs=1e-5)


def test_a_gap_that_is_not_a_number_is_reported_as_infinite():
    model = tiny_model()
    with torch.no_grad():
        model.model.norm.weight[0] = math.nan
    report = rl(model, adam(model), [sequences(UNEVEN)])
    assert report.logprob_gap_mean == report.logprob_gap_max == math.inf


def test_the_report_holds_loss_entropy_and_rate():
    model, made = tiny_model(), sequences(UNEVEN)
    with torch.no_grad():
        entropy = sum(float(plain_logprobs(model, s)[1].sum()) for s in made) / sum(UNEVEN)
    report = rl(model, RecordingOptimizer(model), [made], lr=0.125, budget=100)
    expected = -sum(s.advantage * s.loss_tokens for s in made) / sum(UNEVEN)
    assert report.loss == pytest.approx(expected, rel=1e-5)
    assert report.metrics["entropy"] == pytest.approx(entropy, rel=1e-5)
    assert (report.lr, report.steps, report.skipped, report.refused) == (0.125, 1, 0, 0)
    assert report.metrics["clip_fraction"] == 0.0


def test_sft_reports_each_demonstrations_likelihood_before_and_after():
    model, made = tiny_model(), sequences(UNEVEN, demonstration=True)

    def nll():
        with torch.no_grad():
            return [-float(plain_logprobs(model, s)[0].mean()) for s in made]

    before = nll()
    outcome = sft(model, adam(model), [made[:4], made[4:]] * 3, demonstrations=made, lr=0.003, budget=60)
    assert outcome.nll_before == pytest.approx(before, rel=1e-4)
    assert outcome.nll_after == pytest.approx(nll(), rel=1e-4)
    weighted = sum(n * length for n, length in zip(before, UNEVEN, strict=True)) / sum(UNEVEN)
    assert outcome.report.nll_before == pytest.approx(weighted, rel=1e-4)
    assert outcome.report.nll_after < outcome.report.nll_before
    assert outcome.report.tokens == 3 * sum(UNEVEN)
    assert outcome.report.sequences == 3 * len(UNEVEN)


@pytest.mark.parametrize("copied", [False, True])
def test_the_likelihood_before_is_measured_only_where_the_first_step_does_not_show_it(copied):
    model, made = tiny_model(), sequences(UNEVEN, demonstration=True)
    passes = []
    model.base_model.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    taught = [dataclasses.replace(s) for s in made] if copied else made
    outcome = sft(model, RecordingOptimizer(model), [taught[:4], taught[4:]], demonstrations=made)
    assert passes == [False, True, True, False]
    passes.clear()
    whole = sft(model, RecordingOptimizer(model), [taught, taught], demonstrations=made)
    assert passes == [False] * copied + [True, True, False]
    assert whole.nll_before == pytest.approx(outcome.nll_before, rel=1e-5)
    assert whole.nll_after == pytest.approx(whole.nll_before, rel=1e-5), "nothing moved"


def test_likelihoods_of_a_model_in_float64_are_as_exact_as_it_is():
    model, made = tiny_model().double(), sequences(UNEVEN, demonstration=True)
    with torch.no_grad():
        exact = [-float(plain_logprobs(model, s)[0].mean()) for s in made]
    outcome = sft(model, adam(model), [made], demonstrations=made, budget=60)
    assert outcome.nll_before == pytest.approx(exact, rel=1e-12)
    assert outcome.nll_after == pytest.approx(exact, rel=1e-12)


def test_a_demonstration_that_two_ranks_computed_counts_once():
    class WithAnother(Ranks):
        """A rank beside one that computed the same."""

        def sums(self, values):
            return [2 * value for value in values]

    (twice,) = sequences([4], demonstration=True)
    made = [twice, *sequences([2], seed=1, demonstration=True), twice]
    (batch,) = micro_batches(made, max_tokens=100)
    likelihoods = Likelihoods(made)
    likelihoods.add(made, batch, torch.tensor([-1.0] * 4 + [-1.0] * 4 + [-3.0] * 2))
    assert likelihoods.over(WithAnother()) == (1.0, 3.0, 1.0)


def test_every_minibatch_is_one_optimizer_step_with_its_own_count():
    model, made = tiny_model(), sequences(UNEVEN, demonstration=True)
    optimizer = RecordingOptimizer(model)
    sft(model, optimizer, [made[:1], made[1:]], budget=60, entropy_weight=0.0)
    assert len(optimizer.steps) == 2
    assert relative_error(optimizer.steps[0], sft_gradient(made[:1], entropy_weight=0.0)) < 1e-5
    assert relative_error(optimizer.steps[1], sft_gradient(made[1:], entropy_weight=0.0)) < 1e-5


# ---------------------------------------------------------------- the seams to the rest of a run


def test_an_sft_update_leaves_the_rl_optimizer_where_it_was():
    model = tiny_model()
    for_rl, for_sft = adam(model), adam(model)
    rl(model, for_rl, [sequences(UNEVEN)], lr=0.001)
    state = {name: tensor.clone() for name, tensor in optimizer_tensors(for_rl).items()}
    sft(model, for_sft, [sequences(UNEVEN, demonstration=True)], lr=0.5)
    assert for_rl.param_groups[0]["lr"] == 0.001
    assert all(torch.equal(state[name], tensor) for name, tensor in optimizer_tensors(for_rl).items())


def test_the_same_update_twice_gives_the_same_bits_and_leaves_no_gradient():
    def one():
        model = tiny_model()
        optimizer = adam(model)
        rl(model, optimizer, [sequences(UNEVEN), sequences(UNEVEN, seed=1)], lr=0.01, budget=100)
        sft(model, optimizer, [sequences(UNEVEN, demonstration=True)] * 2, lr=0.01, budget=100)
        assert all(parameter.grad is None for parameter in model.parameters())
        return weights(model)

    first, second = one(), one()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_global_generator_is_never_read():
    model = tiny_model()
    model.config.attention_dropout = 0.5
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    state = torch.random.get_rng_state()
    rl(model.train(), adam(model), [sequences(UNEVEN)] * 2, lr=0.01)
    sft(model.train(), adam(model), [sequences(UNEVEN, demonstration=True)], lr=0.01)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_an_interruption_leaves_between_micro_batches_without_gradients(stop_at):
    calls = []

    def check():
        calls.append(1)
        if len(calls) == stop_at:
            raise Interrupted("stop")

    model = tiny_model()
    with pytest.raises(Interrupted):
        rl(model, adam(model), [sequences(UNEVEN)] * 2, budget=60, lr=0.01, check=check)
    assert len(calls) == stop_at
    assert all(parameter.grad is None for parameter in model.parameters())
    calls.clear()
    demonstrations = without_rewards(sequences(UNEVEN))
    with pytest.raises(Interrupted):
        sft(model, adam(model), [demonstrations] * 2, demonstrations=demonstrations, budget=60, check=check)
    assert all(parameter.grad is None for parameter in model.parameters())
