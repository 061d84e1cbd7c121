import copy
import dataclasses

import pytest
import torch
from learning_helpers import (
    UNEVEN,
    VOCABULARY,
    by_sequence,
    padded_logprobs,
    plain_gradient,
    plain_logprobs,
    relative_error,
    sequences,
    tiny_model,
)
from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

from relift.errors import ModelError
from relift.learning.batching import micro_batches
from relift.learning.forward import packing_error, token_logprobs
from relift.learning.head import Entropy

TINY = {
    "vocab_size": 24,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}


def logprobs_of(model, batch, *, temperature=1.0, chunk=1000, entropy=Entropy.NONE, vocabulary=VOCABULARY):
    return token_logprobs(
        model, batch, temperature=temperature, vocabulary=vocabulary, chunk_tokens=chunk, entropy=entropy
    )


def weighted(parts):
    """A loss in which every token has another weight, from the log-probabilities and entropies of each sequence."""
    total = 0.0
    for slot, (logprobs, entropy) in enumerate(parts):
        ramp = torch.linspace(-1, 2, len(logprobs), dtype=torch.float64) + slot
        total = total + (ramp * logprobs).sum() + 0.3 * (ramp.flip(0) * entropy).sum()
    return total


def packed_parts(model, made, *, budget, chunk=1000, temperature=1.0):
    parts = {}
    for batch in micro_batches(made, max_tokens=budget):
        both = logprobs_of(model, batch, temperature=temperature, chunk=chunk, entropy=Entropy.GRADIENT)
        split = [by_sequence(values, batch) for values in both]
        parts |= {index: (split[0][index], split[1][index]) for index in batch.indices}
    return [parts[i] for i in range(len(made))]


def packed_gradient(model, made, **settings):
    model.zero_grad(set_to_none=True)
    weighted(packed_parts(model, made, **settings)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


# ---------------------------------------------------------------- packed against padded


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_and_entropy_equal_those_of_each_sequence_alone_with_all_logits(temperature):
    model, made = tiny_model(), sequences(UNEVEN)
    got = packed_parts(model, made, budget=1000, temperature=temperature)
    for sequence, parts in zip(made, got, strict=True):
        for part, expected in zip(parts, plain_logprobs(model, sequence, temperature), strict=True):
            torch.testing.assert_close(part.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_packed_values_equal_padded_ones_in_float64(temperature):
    model, made = tiny_model().double(), sequences(UNEVEN)
    got = packed_parts(model, made, budget=1000, chunk=16, temperature=temperature)
    for parts, expected in zip(got, padded_logprobs(model, made, temperature), strict=True):
        torch.testing.assert_close(parts, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("budget", [46, 60, 1000])
@pytest.mark.parametrize("chunk", [1, 64, 1000])
def test_packed_gradients_equal_padded_ones(budget, chunk):
    model, made = tiny_model(), sequences(UNEVEN)
    expected = plain_gradient(model, lambda reference: weighted(padded_logprobs(reference, made)))
    assert relative_error(packed_gradient(model, made, budget=budget, chunk=chunk), expected) < 1e-5
    doubled = packed_gradient(copy.deepcopy(model).double(), made, budget=budget, chunk=chunk)
    assert relative_error(doubled, expected) < 1e-12


def test_a_head_that_is_not_tied_has_its_own_gradient():
    untied = tiny_model()
    untied.lm_head.weight = torch.nn.Parameter(untied.lm_head.weight.detach().flip(0).clone())
    made = sequences(UNEVEN)
    expected = plain_gradient(untied, lambda reference: weighted(padded_logprobs(reference, made)))
    assert "lm_head.weight" in expected
    assert relative_error(packed_gradient(untied, made, budget=60, chunk=16), expected) < 1e-5


def test_a_sequence_does_not_see_the_others():
    model, made = tiny_model(), sequences(UNEVEN)
    changed = [
        s if i == 3 else dataclasses.replace(s, token_ids=tuple(22 - t for t in s.token_ids))
        for i, s in enumerate(made)
    ]
    got = []
    for some in (made, changed):
        (batch,) = micro_batches(some, max_tokens=1000)
        got.append(by_sequence(logprobs_of(model, batch)[0], batch))
    assert torch.equal(got[0][3], got[1][3])
    assert all(not torch.equal(got[0][i], got[1][i]) for i in range(len(made)) if i != 3)


# ---------------------------------------------------------------- vocabulary, entropy, nothing at all


def test_padding_of_the_vocabulary_holds_no_mass():
    model = tiny_model()
    (batch,) = micro_batches(sequences(UNEVEN), max_tokens=1000)
    before, _ = logprobs_of(model, batch)
    with torch.no_grad():
        model.get_output_embeddings().weight[VOCABULARY:] *= 50
    after, _ = logprobs_of(model, batch)
    assert torch.equal(before, after)
    everything, _ = logprobs_of(model, batch, vocabulary=24)
    assert not torch.allclose(before, everything)


def test_entropy_carries_a_gradient_only_where_the_loss_asks_for_it():
    model = tiny_model()
    (batch,) = micro_batches(sequences(UNEVEN), max_tokens=1000)
    found = {kind: logprobs_of(model, batch, entropy=kind)[1] for kind in Entropy}
    assert found[Entropy.NONE] is None
    assert not found[Entropy.VALUE].requires_grad
    assert found[Entropy.GRADIENT].requires_grad
    assert torch.equal(found[Entropy.VALUE], found[Entropy.GRADIENT].detach())


def test_an_empty_micro_batch_has_a_gradient_of_zero():
    model = tiny_model()
    *_, empty = micro_batches(sequences([3]), max_tokens=100, count_multiple=2)
    logprobs, entropy = logprobs_of(model, empty, entropy=Entropy.GRADIENT)
    assert logprobs.shape == entropy.shape == (0,)
    (logprobs.sum() + entropy.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.eq(0).all() for parameter in model.parameters())


# ---------------------------------------------------------------- the check at the start


def test_packing_moves_logprobs_by_rounding_alone():
    made = sequences(UNEVEN)
    settings = {"temperature": 0.7, "vocabulary": VOCABULARY, "max_tokens": 100}
    assert packing_error(tiny_model(), made, chunk_tokens=1000, **settings) < 1e-5
    assert packing_error(tiny_model().double(), made, chunk_tokens=1000, **settings) < 1e-13
    assert packing_error(tiny_model().double(), made, chunk_tokens=8, **settings) < 1e-13, "only the last 8 of each"


def test_the_check_passes_over_a_sequence_of_one_token_which_nothing_predicts():
    (only,) = sequences([3])
    only = dataclasses.replace(only, token_ids=(5,), loss_mask=(0,), sampling_logprobs=(0.0,))
    settings = {"temperature": 1.0, "vocabulary": VOCABULARY, "chunk_tokens": 1000, "max_tokens": 100}
    assert packing_error(tiny_model(), [only], **settings) == 0
    assert 0 < packing_error(tiny_model(), [only, *sequences(UNEVEN)], **settings) < 1e-5


def test_the_check_finds_sequences_that_see_each_other(monkeypatch):
    def everyone(query, key, value, packed, scaling, window):
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=True
        )
        return output.transpose(1, 2)

    monkeypatch.setattr("relift.learning.attention._by_span", everyone)
    error = packing_error(
        tiny_model(), sequences(UNEVEN), temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=1000, max_tokens=1000
    )
    assert error > 0.1


def test_the_check_finds_a_model_that_does_more_to_its_logits():
    class Loud(torch.nn.Linear):
        def forward(self, hidden):
            return 3 * super().forward(hidden)

    model = tiny_model()
    head = Loud(32, 24, bias=False)
    head.weight = model.lm_head.weight
    model.lm_head = head
    error = packing_error(
        model, sequences(UNEVEN), temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=1000, max_tokens=1000
    )
    assert error > 0.1


def test_a_model_that_is_not_finite_never_passes_the_check():
    model = tiny_model()
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    error = packing_error(
        model, sequences([3]), temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=1000, max_tokens=1000
    )
    assert error == torch.inf


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        (lambda: Gemma2ForCausalLM(Gemma2Config(**TINY)), "final_logit_softcapping=30.0"),
        (lambda: GraniteForCausalLM(GraniteConfig(**TINY, logits_scaling=8.0)), "logits_scaling=8.0"),
    ],
)
def test_a_model_that_changes_its_logits_after_the_head_is_refused(model, setting):
    (batch,) = micro_batches(sequences([3]), max_tokens=100)
    with pytest.raises(ModelError, match=f"changes its logits by {setting}"):
        logprobs_of(model(), batch)


def test_a_model_whose_scale_is_one_is_trained():
    model = GraniteForCausalLM(GraniteConfig(**TINY, logits_scaling=1.0)).eval().double()
    made = sequences(UNEVEN)
    error = packing_error(model, made, temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=1000, max_tokens=100)
    assert error < 1e-12
