"""Model folders from outside: no code of theirs runs, nobody is asked, and whatever is broken is one error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from relift.config import PolicyConfig
from relift.errors import ModelError
from relift.policy.model import load_model, load_student
from relift.policy.tiny import byte_tokenizer
from tests.models.architectures import SUPPORTED, write_model

Damage = Callable[[Path], Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("whole"), SUPPORTED["qwen2"], byte_tokenizer())


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change(file: str, **values: Any) -> Damage:
    def damage(folder: Path) -> None:
        tree = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(tree | values))

    return damage


def write(file: str, content: str | bytes) -> Damage:
    return lambda folder: (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)


def change_weights(alter: Callable[[dict[str, torch.Tensor]], Any]) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        alter(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


CONFIGURATION = {
    "no JSON": write("config.json", "{nope"),
    "a list": write("config.json", "[1]"),
    "null": write("config.json", "null"),
    "bytes": write("config.json", bytes(range(256))),
    "an unknown kind": change("config.json", model_type="nosuch"),
    "a kind that is a list": change("config.json", model_type=["a"]),
    "a width in words": change("config.json", hidden_size="wide"),
    "too few kinds of layers": change("config.json", num_hidden_layers=3),
    "an unknown type": change("config.json", dtype="nosuch"),
}
WEIGHTS = {
    "empty": (write("model.safetensors", b""), "no model that loads: SafetensorError"),
    "cut": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
        "not fully",
    ),
    "a pointer": (write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"), "SafetensorError"),
    "none": (lambda folder: (folder / "model.safetensors").unlink(), "no file named model.safetensors"),
    "a width of none": (change("config.json", hidden_size=0), "no model that loads: ZeroDivisionError"),
    "no heads": (change("config.json", num_attention_heads=0), "no model that loads: ZeroDivisionError"),
    "another vocabulary": (change("config.json", vocab_size=10**12), "other shapes than its config.json says"),
    "another shape": (change_weights(lambda t: t.update({"model.norm.weight": torch.ones(7)})), "of other shapes"),
    "one short": (
        change_weights(lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight")),
        r"no values for 1 of its weights \(model.layers.1.mlp.up_proj.weight",
    ),
    "pickled": (pickled, r"its weights in pytorch_model.bin alone, a pickle"),
}
TOKENIZER = {
    "no JSON": write("tokenizer.json", "{nope"),
    "nothing in it": write("tokenizer.json", "{}"),
    "a list": write("tokenizer.json", "[]"),
    "settings that are no JSON": write("tokenizer_config.json", "{nope"),
    "settings that are a list": write("tokenizer_config.json", "[]"),
    "an end that is a number": change("tokenizer_config.json", eos_token=7),
    "a template of bytes": write("chat_template.jinja", bytes(range(128, 256))),
}
ENDS = {
    "no JSON": write("generation_config.json", "{nope"),
    "a list": write("generation_config.json", "[]"),
    "an end in words": change("generation_config.json", eos_token_id="the end"),
    "a list in a list": change("generation_config.json", eos_token_id=[[1]]),
}


def refused(folder: Path, reason: str, *, without_weights: bool) -> None:
    config = PolicyConfig(model=str(folder))
    with pytest.raises(ModelError, match=reason):
        load_model(config, seed=0)
    if without_weights:
        with pytest.raises(ModelError, match=reason):
            load_student(config)


@pytest.mark.parametrize("name", CONFIGURATION)
def test_a_broken_configuration_is_one_error(folder: Path, name: str) -> None:
    CONFIGURATION[name](folder)
    refused(folder, "has no configuration that loads", without_weights=True)


@pytest.mark.parametrize("name", TOKENIZER)
def test_a_broken_tokenizer_is_one_error(folder: Path, name: str) -> None:
    TOKENIZER[name](folder)
    refused(folder, "has no tokenizer that loads", without_weights=True)


@pytest.mark.parametrize("name", ENDS)
def test_ends_of_completions_that_cannot_be_read_are_one_error(folder: Path, name: str) -> None:
    ENDS[name](folder)
    refused(folder, r"generation_config\.json", without_weights=True)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_broken_missing_or_pickled_are_one_error(folder: Path, name: str) -> None:
    damage, reason = WEIGHTS[name]
    damage(folder)
    refused(folder, reason, without_weights=False)


def test_quantised_weights_are_refused_by_name(folder: Path) -> None:
    change("config.json", quantization_config={"quant_method": "gptq", "bits": 4})(folder)
    refused(folder, "holds quantised weights", without_weights=True)


@pytest.fixture
def poisoned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with code that leaves a trace when it is run, on a terminal where nobody may be asked."""
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nraise SystemExit\n")
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    return folder


AUTO_MAP = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}


def test_a_model_with_code_of_its_own_is_refused_without_a_question(poisoned: Path) -> None:
    change("config.json", model_type="own", auto_map=AUTO_MAP)(poisoned)
    refused(poisoned, r"comes with code of its own \(auto_map in its files\)", without_weights=True)
    assert not (poisoned / "ran").exists()


def test_code_beside_a_known_architecture_is_left_alone(poisoned: Path) -> None:
    change("config.json", auto_map=AUTO_MAP)(poisoned)
    change("tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]})(poisoned)
    model, _ = load_model(PolicyConfig(model=str(poisoned)), seed=0)
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert not (poisoned / "ran").exists()


def test_an_attention_that_a_configuration_would_have_fetched_is_not(folder: Path) -> None:
    change("config.json", attn_implementation="someone/kernel", _attn_implementation="someone/kernel")(folder)
    model, student = load_model(PolicyConfig(model=str(folder)), seed=0)
    assert "someone" not in model.config._attn_implementation
    assert student.stop_ids == load_student(PolicyConfig(model=str(folder))).stop_ids


def test_ends_are_the_same_with_and_without_weights(folder: Path) -> None:
    config = PolicyConfig(model=str(folder))
    (folder / "generation_config.json").unlink()
    change("config.json", eos_token_id=[2, 40])(folder)
    assert load_student(config).stop_ids == load_model(config, seed=0)[1].stop_ids == (2, 40)
    change("config.json", eos_token_id=2)(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 41]}))
    assert load_student(config).stop_ids == load_model(config, seed=0)[1].stop_ids == (2, 41)
