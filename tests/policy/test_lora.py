"""Adapters: what trains is small, what others see is the merged model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from relift.config import AdamConfig, LoraConfig, PolicyConfig, RunConfig
from relift.config.recipe import leaves, load_recipe
from relift.errors import ConfigError, ModelError
from relift.learning import build_optimizer, optimizer_tensors
from relift.policy.lora import target_layers
from relift.policy.model import export_model, load_model
from relift.policy.student import Student
from relift.policy.tiny import random_model
from relift.policy.weight_check import engine_weights
from relift.policy.weights import resume_tensors, weight_tensors, weights_checksum
from tests.policy.test_engine import make_engine, prompts, request
from tests.policy.training import VOCABULARY, demonstrations, gradient, train

ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
Q = "model.layers.1.self_attn.q_proj"


def config(**settings: Any) -> PolicyConfig:
    return PolicyConfig(model="random-bytes", lora=LoraConfig(**{"rank": 4, "alpha": 8, **settings}))


def adapted(*, seed: int = 3, **settings: Any) -> tuple[Any, Student]:
    torch.set_num_threads(1)
    return load_model(config(**settings), seed=seed)


def trained(steps: int = 3, **settings: Any) -> tuple[Any, Student]:
    model, student = adapted(**settings)
    optimizer = build_optimizer(model, AdamConfig(lr=0.01))
    for seed in range(steps):
        train(model, optimizer, seed)
    return model, student


def parameters(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# ---------------------------------------------------------------- what trains


def test_adapters_change_nothing_until_they_train() -> None:
    model, _ = adapted()
    plain = random_model(3, vocabulary=VOCABULARY)
    assert weights_checksum(model) == weights_checksum(plain)
    assert make_engine(model).sample(prompts("1+1?"), request()) == make_engine(plain).sample(
        prompts("1+1?"), request()
    )


def test_only_adapters_have_gradients_optimizer_states_and_new_values() -> None:
    model, _ = adapted()
    before = parameters(model)
    optimizer = build_optimizer(model, AdamConfig(lr=0.01))
    # B is zero, so at first A has no gradient; from the second step on both do.
    assert all("lora_" in name for name in gradient(model, demonstrations()))
    for seed in range(2):
        train(model, optimizer, seed)
    after = parameters(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # 7 linear layers in each of 2 layers, two factors each.
    assert changed == {name for name in before if ".lora_" in name} and len(changed) == 28
    stepped = {name.rpartition(".")[0] for name in optimizer_tensors(optimizer)} - {"history"}
    assert stepped == changed


def test_first_values_are_a_function_of_the_seed_and_the_layer_and_of_no_global_generator() -> None:
    state = torch.random.get_rng_state()
    model, _ = adapted()
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(12345)
    again, other = adapted()[0], adapted(seed=4)[0]
    first, second, third = (parameters(m) for m in (model, again, other))
    name = f"{Q}.lora_A.default.weight"
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert not torch.equal(first[name], third[name])
    assert not torch.equal(first[name], first[name.replace("q_proj", "k_proj")])
    # Uniform between -1/8 and 1/8 for 64 inputs: deviation 1/8 over the root of 3.
    assert first[name].shape == (4, 64) and 0.12 < first[name].abs().max() <= 0.125
    assert first[name].std() == pytest.approx(0.125 / 3**0.5, rel=0.1)
    # With adapters on fewer layers, those have the same values.
    few = parameters(adapted(targets="attention")[0])
    assert torch.equal(first[name], few[name])


def test_targets_are_attention_all_linear_layers_or_names() -> None:
    model = random_model(0, vocabulary=VOCABULARY)

    def last(targets: str | tuple[str, ...]) -> tuple[int, set[str]]:
        chosen = target_layers(model, targets)
        return len(chosen), {name.rpartition(".")[2] for name in chosen}

    assert last("attention") == (8, ATTENTION)
    assert last("linear") == (14, ATTENTION | {"gate_proj", "up_proj", "down_proj"})
    assert last(("q_proj", "down_proj")) == (4, {"q_proj", "down_proj"})


@pytest.mark.parametrize("name", ["query", "lm_head", "embed_tokens", "self_attn"])
def test_a_name_that_is_no_layer_for_an_adapter_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(ModelError, match=f"no layer for {name} in this qwen2 model.*down_proj, gate_proj, k_proj"):
        adapted(targets=("q_proj", name))


# ---------------------------------------------------------------- what others see


def test_a_merged_layer_is_w_plus_alpha_over_rank_times_b_a_worked_by_hand() -> None:
    model, _ = adapted()
    layer = model.get_submodule(Q)
    with torch.no_grad():
        layer.base_layer.weight.fill_(1.0)
        layer.lora_A.default.weight.fill_(0.5)
        layer.lora_B.default.weight.fill_(0.25)
    # Four products of 0.25 and 0.5 make 0.5; alpha / rank is 8 / 4.
    merged = weight_tensors(model)[f"{Q}.weight"]
    assert torch.equal(merged, torch.full((64, 64), 2.0))
    assert torch.equal(layer.base_layer.weight, torch.ones(64, 64)), "merging changed the base weights"


def test_the_exported_folder_is_the_merged_model_and_loads_without_peft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, student = trained()
    export_model(model, student, tmp_path / "model")
    stored = load_file(tmp_path / "model" / "model.safetensors")
    assert stored.keys() == random_model(0, vocabulary=VOCABULARY).state_dict().keys() - {"lm_head.weight"}
    assert not (tmp_path / "model" / "adapter_config.json").exists()
    assert "relift" not in (tmp_path / "model" / "config.json").read_text()
    monkeypatch.setitem(sys.modules, "peft", None)  # from here on importing it fails
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert weights_checksum(loaded) == weights_checksum(model)
    assert weights_checksum(loaded) != weights_checksum(random_model(3, vocabulary=VOCABULARY))


def test_the_merged_model_computes_what_was_trained(tmp_path: Path) -> None:
    model, student = trained()
    export_model(model, student, tmp_path / "model")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    ids = torch.tensor([demonstrations()[0].token_ids])
    with torch.no_grad():
        ours, theirs, base = (m(ids).logits for m in (model, merged, random_model(3, vocabulary=VOCABULARY)))
    assert (ours - theirs).abs().max() < 1e-5
    assert (ours - base).abs().max() > 1e-2


def test_an_engine_is_sent_the_merged_weights_under_the_original_names() -> None:
    model, _ = trained()
    sent = dict(engine_weights(model, VOCABULARY))
    plain = dict(engine_weights(random_model(3, vocabulary=VOCABULARY), VOCABULARY))
    assert list(sent) == list(plain), "names, or their order, are not those of the model without adapters"
    assert {name: w.shape for name, w in sent.items()} == {name: w.shape for name, w in plain.items()}
    merged = weight_tensors(model)
    assert all(torch.equal(weight, merged[name][: len(weight)]) for name, weight in sent.items())
    changed = {name for name in sent if not torch.equal(sent[name], plain[name])}
    assert changed == {name for name in sent if name.endswith("_proj.weight")} and len(changed) == 14


def test_merging_gives_the_same_bits_inside_autocast() -> None:
    model, _ = trained()
    plain = weights_checksum(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert weights_checksum(model) == plain
        assert weight_tensors(model)[f"{Q}.weight"].dtype == torch.float32


def test_a_checkpoint_holds_the_adapters_alone() -> None:
    model, _ = adapted()
    held = resume_tensors(model)
    assert len(held) == 28 and all(".lora_" in name for name in held)
    assert held[f"{Q}.lora_A.default.weight"].data_ptr() == model.get_submodule(Q).lora_A.default.weight.data_ptr()


# ---------------------------------------------------------------- settings


def test_the_recipe_switches_adapters_on_by_any_setting_of_theirs() -> None:
    assert load_recipe("demo").policy.lora is None
    assert load_recipe("demo", ["policy.lora.rank=4"]).policy.lora == LoraConfig(rank=4)
    assert load_recipe("demo", ["policy.lora.rank=4", "policy.lora=off"]).policy.lora is None
    with pytest.raises(ConfigError, match=r"policy\.lora\.dropout"):
        load_recipe("demo", ["policy.lora.dropout=0.1"])


@pytest.mark.parametrize("lora", [LoraConfig(), LoraConfig(rank=4, alpha=8, targets=("q_proj", "v_proj"))])
def test_the_settings_stored_with_a_run_are_read_back_as_they_were(lora: LoraConfig) -> None:
    # A difference in the text alone, 32 against 32.0, would refuse to resume.
    made = load_recipe("demo", ["policy.lora.rank=4"])
    made = made.model_copy(update={"policy": made.policy.model_copy(update={"lora": lora})})
    stored = made.model_dump_json()
    assert dict(leaves(RunConfig.model_validate_json(stored))) == dict(leaves(made))


def test_without_peft_the_extra_is_named_before_anything_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"policy\.lora needs peft.*pip install 'relift\[lora\]'"):
        load_model(PolicyConfig(model="nobody/nothing", lora=LoraConfig()), seed=0)
    load_model(PolicyConfig(model="random-bytes"), seed=0)
