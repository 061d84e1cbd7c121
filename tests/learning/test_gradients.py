import dataclasses

import pytest
import torch
from learning_helpers import (
    LONGEST,
    UNEVEN,
    RecordingOptimizer,
    adam,
    plain_gradient,
    plain_logprobs,
    relative_error,
    rl,
    rl_gradient,
    sequences,
    sft,
    sft_gradient,
    tiny_model,
    weights,
)

from relift.config import ClipConfig, PpoConfig
from relift.learning.surrogate import clipped_surrogate


def token_weight(aggregation, made, sequence):
    tokens, count = sum(s.loss_tokens for s in made), len(made)
    return {
        "token-mean": 1 / tokens,
        "seq-mean": 1 / (count * sequence.loss_tokens),
        "constant": 1 / (count * 50),
    }[aggregation]


# ---------------------------------------------------------------- gradients against a plain float64 reference


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean", "constant"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_first_rl_step_has_the_gradient_of_reinforce(aggregation, temperature):
    model, made = tiny_model(), sequences(UNEVEN)

    def reinforce(reference):
        return sum(
            -s.advantage * token_weight(aggregation, made, s) * plain_logprobs(reference, s, temperature)[0].sum()
            for s in made
        )

    got = rl_gradient(made, model, aggregation=aggregation, temperature=temperature, budget=100)
    assert relative_error(got, plain_gradient(model, reinforce)) < 1e-5


def test_the_rl_entropy_term_has_the_gradient_of_the_reference():
    model, made = tiny_model(), sequences(UNEVEN)
    tokens = sum(UNEVEN)

    def with_bonus(reference):
        parts = [plain_logprobs(reference, s) for s in made]
        policy = -sum(s.advantage * logprobs.sum() for s, (logprobs, _) in zip(made, parts, strict=True))
        return (policy - 0.3 * sum(entropy.sum() for _, entropy in parts)) / tokens

    got = rl_gradient(made, model, entropy_weight=0.3, budget=100)
    assert relative_error(got, plain_gradient(model, with_bonus)) < 1e-5


@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_the_sft_gradient_is_that_of_the_reference(alpha):
    model, made = tiny_model(), sequences(UNEVEN, demonstration=True)

    def likelihood(reference):
        parts = [plain_logprobs(reference, s) for s in made]
        return sum(-logprobs.sum() - alpha * entropy.sum() for logprobs, entropy in parts) / sum(UNEVEN)

    assert relative_error(sft_gradient(made, entropy_weight=alpha), plain_gradient(model, likelihood)) < 1e-5


def test_the_second_step_is_clipped_against_the_weights_at_entry():
    first, second = sequences(UNEVEN), sequences(UNEVEN, seed=1)
    clip = ClipConfig(low=0.2, high=0.28, dual=3.0)
    entry, model = tiny_model(), tiny_model()

    class MovesThenRecords(RecordingOptimizer):
        def step(self, closure=None):
            if self.steps:
                self.before_second = weights(model)
            super().step()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.sub_(0.1 * self.steps[-1][name])

    optimizer = MovesThenRecords(model)
    report = rl(model, optimizer, [first, second], loss=PpoConfig(clip=clip), budget=100)
    moved = tiny_model()
    moved.load_state_dict(optimizer.before_second)

    def clipped(reference):
        total = 0.0
        for s in second:
            with torch.no_grad():
                old = plain_logprobs(entry, s)[0]
            ratio = torch.exp(plain_logprobs(reference, s)[0] - old)
            total = total - clipped_surrogate(ratio, torch.tensor(s.advantage).double(), clip)[0].sum()
        return total / sum(UNEVEN)

    assert relative_error(optimizer.steps[1], plain_gradient(moved, clipped)) < 1e-5
    assert 0 < report.metrics["clip_fraction"] < 0.5, "the second step met the clip, the first cannot"


# ---------------------------------------------------------------- splits, order, skipping


@pytest.mark.parametrize("budget", [LONGEST, 60, 100])
@pytest.mark.parametrize(
    "settings",
    [
        {"aggregation": "token-mean"},
        {"aggregation": "seq-mean"},
        {"aggregation": "constant"},
        {"entropy_weight": 0.3},
    ],
)
def test_the_rl_gradient_does_not_depend_on_how_the_batch_is_split(budget, settings):
    made = sequences(UNEVEN)
    whole = rl_gradient(made, **settings)
    assert relative_error(rl_gradient(made, budget=budget, **settings), whole) < 1e-5
    assert relative_error(rl_gradient(made[::-1], budget=budget, **settings), whole) < 1e-5


@pytest.mark.parametrize("budget", [LONGEST, 60, 100])
def test_the_sft_gradient_does_not_depend_on_how_the_batch_is_split(budget):
    made = sequences(UNEVEN, demonstration=True)
    whole = sft_gradient(made, entropy_weight=0.05)
    assert relative_error(sft_gradient(made, entropy_weight=0.05, budget=budget), whole) < 1e-5
    assert relative_error(sft_gradient(made[::-1], entropy_weight=0.05, budget=budget), whole) < 1e-5


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean", "constant"])
def test_copies_of_the_batch_leave_the_gradient_unchanged(aggregation):
    made = sequences(UNEVEN)
    twice = rl_gradient(made * 2, aggregation=aggregation)
    assert relative_error(twice, rl_gradient(made, aggregation=aggregation)) < 1e-5


@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean", "constant"])
def test_skipping_what_has_no_advantage_equals_computing_it(aggregation):
    made = sequences(UNEVEN, advantages=[0.5, 0.0, -1.5])
    # An advantage too small to move a float32 sum: computed, where 0.0 is skipped.
    computed = [dataclasses.replace(s, advantage=s.advantage or 1e-30) for s in made]
    seen = []
    for batch in (made, computed):
        model = tiny_model()
        model.base_model.register_forward_hook(lambda _, __, out: seen.append(out.last_hidden_state.shape[1]))
        optimizer = RecordingOptimizer(model)
        report = rl(model, optimizer, [batch], aggregation=aggregation)
        assert (report.tokens, report.sequences) == (sum(UNEVEN), len(UNEVEN))
        seen.append(optimizer.steps[0])
    (tokens, skipped, all_tokens, whole) = seen
    assert all_tokens == sum(len(s.token_ids) - 1 for s in made), "the last one predicts nothing"
    assert tokens == sum(len(s.token_ids) - 1 for s in made if s.advantage)
    assert relative_error(skipped, whole) < 1e-6


def test_an_entropy_bonus_forbids_skipping():
    made = sequences(UNEVEN, advantages=[0.0])
    assert any(gradient.abs().sum() > 0 for gradient in rl_gradient(made, entropy_weight=0.1).values())


def test_a_step_without_signal_or_tokens_is_skipped_and_counted():
    model, silent = tiny_model(), sequences(UNEVEN, advantages=[0.0])
    optimizer = adam(model)
    before = weights(model)
    report = rl(model, optimizer, [silent, [], sequences(UNEVEN)], lr=0.01)
    assert (report.skipped, report.steps) == (2, 1)
    assert not all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())
    model.load_state_dict(before)
    assert rl(model, adam(model), [], lr=0.01).tokens == 0
    assert sft(model, adam(model), [[]], lr=0.01).report.skipped == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())


def test_the_first_step_with_signal_needs_no_pass_for_old_logprobs():
    model, forwards = tiny_model(), []
    model.base_model.register_forward_hook(lambda *_: forwards.append(torch.is_grad_enabled()))
    silent, loud = sequences(UNEVEN, advantages=[0.0]), sequences(UNEVEN)
    rl(model, RecordingOptimizer(model), [silent, loud])
    assert forwards == [True]
    forwards.clear()
    rl(model, RecordingOptimizer(model), [loud, loud])
    assert forwards == [False, True, True]
