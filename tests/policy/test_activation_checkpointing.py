"""Recomputed activations: the same gradients bit for bit, less kept, and nothing else any different."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from relift.config import PolicyConfig
from relift.config.recipe import load_recipe
from relift.errors import ModelError
from relift.policy.model import load_model
from relift.policy.recompute import recompute_layers
from relift.policy.weights import weights_checksum
from tests.policy.test_engine import make_engine, prompts, request
from tests.policy.training import demonstrations, gradient, loss_of

LAYERS = 4


def model(every: int | None = None) -> Any:
    torch.set_num_threads(1)
    config = Qwen2Config(
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        vocab_size=320,
        attention_dropout=0.5,  # would draw from the global generator in training mode
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Qwen2ForCausalLM(config).eval()
    if every is not None:
        recompute_layers(made, every)
    return made


@contextmanager
def counted_forwards(made: Any) -> Iterator[list[int]]:
    """How often the feed-forward part of each layer runs, by layer."""
    counts = [0] * len(made.model.layers)

    def count(index: int) -> Any:
        def hook(*args: Any) -> None:
            counts[index] += 1

        return hook

    hooks = [layer.mlp.register_forward_pre_hook(count(i)) for i, layer in enumerate(made.model.layers)]
    yield counts
    for hook in hooks:
        hook.remove()


def kept_bytes(made: Any) -> int:
    """Of the activations that one forward pass keeps outside of the layers that are computed again."""
    total = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        total += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        list(loss_of(made, demonstrations(), max_tokens=100))
    return total


@pytest.mark.parametrize("every", [1, 2, 3, LAYERS + 1])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_are_the_same_bits_with_and_without(every: int, dtype: str) -> None:
    made = demonstrations()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16", cache_enabled=False):
        plain, recomputed = gradient(model(), made), gradient(model(every), made)
    assert plain.keys() == recomputed.keys()
    assert all(torch.equal(plain[name], recomputed[name]) for name in plain)


@pytest.mark.parametrize(("every", "twice"), [(1, [0, 1, 2, 3]), (2, [0, 2]), (3, [0, 3]), (9, [0])])
def test_every_kth_layer_is_computed_again_and_no_other(every: int, twice: list[int]) -> None:
    made = model(every)
    (part,) = loss_of(made, demonstrations(), max_tokens=100)
    with counted_forwards(made) as counts:
        part.loss.backward()
    assert [i for i, count in enumerate(counts) if count == 1] == twice
    assert sum(counts) == len(twice)


def test_the_more_layers_are_computed_again_the_less_is_kept() -> None:
    kept = [kept_bytes(model(every)) for every in (None, 4, 2, 1)]
    assert kept == sorted(kept, reverse=True) and kept[3] < kept[0] / 3
    # Layers are alike: half of them keeps half of what they all keep.
    assert kept[0] - kept[2] == (kept[0] - kept[3]) / 2 == 2 * (kept[0] - kept[1])


def test_sampling_and_measuring_compute_each_layer_once() -> None:
    made = model(1)
    with counted_forwards(made) as counts, torch.no_grad():
        list(loss_of(made, demonstrations(), max_tokens=100))
    assert counts == [1] * LAYERS
    asked = prompts("17+4?", "a longer question?")
    assert make_engine(made).sample(asked, request()) == make_engine(model()).sample(asked, request())


def test_a_forward_pass_with_a_cache_is_left_alone() -> None:
    ids = torch.tensor([[5, 6, 7]])
    output = model(1)(input_ids=ids, use_cache=True)
    output.logits.sum().backward()
    assert output.past_key_values.get_seq_length() == 3


def test_names_weights_and_the_global_generator_stay_as_they_were() -> None:
    plain, recomputed = model(), model(1)
    assert plain.state_dict().keys() == recomputed.state_dict().keys()
    assert weights_checksum(plain) == weights_checksum(recomputed)
    state = torch.random.get_rng_state()
    gradient(recomputed, demonstrations())
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_deep_copy_computes_with_its_own_weights() -> None:
    made = model(1)
    other = copy.deepcopy(made)
    with torch.no_grad():
        for parameter in made.model.layers.parameters():
            parameter.zero_()
    assert all(
        torch.equal(found, wanted)
        for found, wanted in zip(
            gradient(other, demonstrations()).values(), gradient(model(), demonstrations()).values(), strict=True
        )
    )


def test_the_recipe_sets_it_by_a_number_or_off() -> None:
    def set_to(value: str) -> int | None:
        return load_recipe("demo", [f"policy.activation_checkpointing={value}"]).policy.activation_checkpointing

    assert (set_to("2"), set_to("off")) == (2, None)
    made, _ = load_model(PolicyConfig(model="random-bytes", activation_checkpointing=1), seed=0)
    (part,) = loss_of(made, demonstrations(), max_tokens=100)
    with counted_forwards(made) as counts:
        part.loss.backward()
    assert counts == [1, 1]


def test_a_model_without_known_layers_is_refused() -> None:
    bare = torch.nn.Linear(2, 2)
    bare.config = Qwen2Config()
    with pytest.raises(ModelError, match=r"activation_checkpointing=1.*no layers"):
        recompute_layers(bare, 1)
