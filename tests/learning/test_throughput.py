"""Model FLOPs counted by hand, and what an update says of the machine."""

import pytest
from learning_helpers import UNEVEN, adam, rl, sequences, tiny_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from relift.learning.throughput import forward_flops, update_flops


def test_a_token_costs_six_flops_per_parameter_and_twelve_per_layer_width_and_token_seen():
    model = tiny_model()  # tied head: every parameter is multiplied; 2 layers, 4 heads of 8
    parameters = sum(p.numel() for p in model.parameters())
    assert update_flops(model, [10]) == 10 * (6 * parameters + 12 * 2 * 32 * 5)
    assert update_flops(model, [10, 4]) == update_flops(model, [10]) + update_flops(model, [4])


def test_an_untied_embedding_is_looked_up_and_not_counted():
    shape = {"vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 48}
    tied = Qwen2ForCausalLM(
        Qwen2Config(**shape, num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=True)
    )
    untied = Qwen2ForCausalLM(
        Qwen2Config(**shape, num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False)
    )
    assert update_flops(untied, [7]) == update_flops(tied, [7])


def test_a_frozen_parameter_costs_four_flops_a_token():
    model = tiny_model()
    whole = update_flops(model, [1])
    layer = model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    assert whole - update_flops(model, [1]) == 2 * layer.numel()


def test_a_forward_pass_alone_costs_a_third_of_both_and_the_same_with_frozen_parameters():
    model = tiny_model()
    third = update_flops(model, [10, 4]) / 3
    assert forward_flops(model, [10, 4]) == pytest.approx(third)
    model.requires_grad_(False)
    assert forward_flops(model, [10, 4]) == pytest.approx(third)


def test_an_update_reports_its_flops_and_memory_and_no_utilisation_where_no_peak_is_known():
    model, made = tiny_model(), sequences(UNEVEN, advantages=[0.5, 0.0])
    report = rl(model, adam(model), [made])
    trained = [len(s.token_ids) for s in made if s.advantage]
    assert report.flops == pytest.approx(update_flops(model, trained))
    assert report.mfu is None
    assert 100e6 < report.peak_memory_bytes < 100e9
