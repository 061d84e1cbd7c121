"""The checks after a hand-over: each finds what the other cannot."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from relift.config import ChecksConfig, PolicyConfig
from relift.errors import SelfCheckFailed
from relift.policy.tiny import random_model
from relift.policy.weight_check import engine_weights, logprob_gap, require_same_weights, require_small_gap, sum_of_bits
from relift.records import Completion
from tests.policy.test_engine import VOCABULARY, make_engine, prompts, request


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    return random_model(3, vocabulary=VOCABULARY)


def bits(*weights: torch.Tensor, dtype: torch.dtype = torch.float32) -> int:
    return sum_of_bits(weights, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_sum_of_bits_does_not_see_how_matrices_are_joined_ordered_and_padded(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(4, 6, generator=generator) for _ in range(2))
    joined = torch.cat([key, query, torch.zeros(3, 6)]).to(dtype)
    assert bits(query, key, dtype=dtype) == bits(joined, dtype=dtype)


def test_the_sum_of_bits_sees_the_smallest_change_of_one_number() -> None:
    weight = torch.ones(1000, 10)
    changed = weight.clone()
    changed[500, 5] = torch.nextafter(changed[500, 5], torch.tensor(2.0))
    assert bits(changed) - bits(weight) == 1
    with pytest.raises(SelfCheckFailed, match="holds other weights than the trainer"):
        require_same_weights(bits(weight), bits(changed), 7)


def test_a_hand_over_sends_each_weight_once_and_no_row_that_pads_the_vocabulary(model: Any) -> None:
    sent = dict(engine_weights(model, VOCABULARY))
    padded = model.get_input_embeddings().weight.shape[0]
    assert sent["model.embed_tokens.weight"].shape[0] == VOCABULARY < padded
    assert "lm_head.weight" not in sent, "the head is the embedding here: sent twice it would be summed twice"
    assert len(sent) == len(list(model.named_parameters()))


def sampled(model: Any) -> list[tuple[tuple[int, ...], Completion]]:
    asked = prompts("17+4?", "a longer question?")
    groups = make_engine(model).sample(asked, request(temperature=0.7))
    return [(prompt.token_ids, completion) for prompt, group in zip(asked, groups, strict=True) for completion in group]


def gap(model: Any, pairs: list[tuple[tuple[int, ...], Completion]], temperature: float = 0.7) -> float:
    return logprob_gap(model, pairs, PolicyConfig(), temperature=temperature, vocabulary=VOCABULARY)


def test_the_gap_is_rounding_for_the_trainers_own_weights_and_not_for_others(model: Any) -> None:
    pairs = sampled(model)
    assert gap(model, pairs) < 1e-6
    assert gap(random_model(4, vocabulary=VOCABULARY), pairs) > 1e-2
    assert gap(model, pairs, temperature=1.0) > 1e-2


def test_the_bound_is_the_dtypes_unless_the_recipe_sets_one() -> None:
    require_small_gap(9e-5, ChecksConfig(), "float32", 1)
    require_small_gap(0.045, ChecksConfig(), "bfloat16", 1)
    for found, checks in (
        (2e-4, ChecksConfig()),
        (2e-5, ChecksConfig(max_handover_gap=1e-5)),
        (math.nan, ChecksConfig()),
    ):
        with pytest.raises(SelfCheckFailed, match="policy version 1 the engine's log-probabilities"):
            require_small_gap(found, checks, "float32", 1)
