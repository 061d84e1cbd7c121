"""The committed base model, as it lies in the package."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from relift.arithmetic import FAMILIES, Kind, base_folder, held_out_questions, is_held_out
from relift.arithmetic.build import build_base
from relift.arithmetic.measure import answer
from relift.arithmetic.tokenizer import CHARACTERS, VOCABULARY_SIZE
from relift.records import question_id

DEMO_MASTERED = ["add3", "sub3", "mul1"]
UNREACHED = [each.name for each in FAMILIES.values() if each.kind is Kind.UNREACHED]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(base_folder())


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(base_folder()).eval()


def share_right(model, tokenizer, names, per_family=40):
    questions = held_out_questions(names, per_family, seed=11)
    answers = answer(model, tokenizer, [question.text for question in questions])
    return sum(answers[q.text].rpartition("=")[2] == q.answer for q in questions) / len(questions)


# --- tokenizer --------------------------------------------------------------------------------------------------------


def test_every_character_is_one_token_and_comes_back(tokenizer):
    for text in [CHARACTERS, "(13+8)*4?", "x-18=50?", "-2", "70*5+4*5=350+20=370"]:
        ids = tokenizer.encode(text)
        assert len(ids) == len(text)
        assert tokenizer.decode(ids) == text


def test_a_question_is_its_own_prompt(tokenizer):
    chat = [{"role": "user", "content": "47*6?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert ids == tokenizer.encode("47*6?") == [tokenizer.convert_tokens_to_ids(figure) for figure in "47*6?"]


def test_a_finished_turn_is_the_prompt_the_solution_and_the_end_of_sequence(tokenizer):
    chat = [{"role": "user", "content": "7*8?"}, {"role": "assistant", "content": "56"}]
    ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
    assert ids == [*tokenizer.encode("7*8?56"), tokenizer.eos_token_id]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "7*8?56"


def test_real_tokens_leave_room_for_padding_of_the_vocabulary(tokenizer, model):
    assert len(tokenizer) == len(CHARACTERS) + 2 < VOCABULARY_SIZE == model.config.vocab_size
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == model.config.pad_token_id == tokenizer.pad_token_id


# --- weights ----------------------------------------------------------------------------------------------------------


def test_the_base_is_small_and_says_how_it_was_made(model):
    origin = json.loads((base_folder() / "ORIGIN.json").read_text())
    assert (base_folder() / "model.safetensors").stat().st_size <= 2e6
    assert sum(parameter.numel() for parameter in model.parameters()) == origin["parameters"] <= 500_000
    assert model.config.model_type == "qwen2" and model.config.tie_word_embeddings
    assert model.config.hidden_size // model.config.num_attention_heads == 32
    assert origin["command"] == f"relift arithmetic build-base --seed {origin['seed']}"
    rates = origin["held_out_percent_correct"]
    for each in FAMILIES.values():
        limits = {Kind.MASTERED: (95, 100), Kind.BORDER: (0, 70), Kind.UNREACHED: (0, 10)}
        low, high = limits[each.kind]
        assert low <= rates[each.name]["greedy"] <= high, each.name


def test_the_base_masters_what_it_should(model, tokenizer):
    assert share_right(model, tokenizer, DEMO_MASTERED) >= 0.95


def test_the_base_answers_no_better_where_its_corpus_held_the_mirror(model, tokenizer):
    questions = held_out_questions(["mul1"], 500, seed=0)
    mirrored = {q.id for q in questions if not is_held_out(question_id("*".join(q.text[:-1].split("*")[::-1]) + "?"))}
    answers = answer(model, tokenizer, [question.text for question in questions])
    for part in ([q for q in questions if q.id in mirrored], [q for q in questions if q.id not in mirrored]):
        assert len(part) > 200
        assert sum(answers[q.text] == q.answer for q in part) / len(part) >= 0.98


def test_the_base_does_not_reach_what_it_should_not(model, tokenizer):
    assert share_right(model, tokenizer, UNREACHED) < 0.1


def test_the_base_goes_on_from_the_middle_of_a_chain_that_it_does_not_begin(model, tokenizer):
    lines = {"40*6+7*6=": "240+42=282", "300*8+9*8=": "2400+72=2472", "50-18=": "32", "30*4+2*4=": "120+8=128"}
    assert answer(model, tokenizer, lines) == lines


@torch.no_grad()
def test_padding_tokens_are_next_to_never_likely(model, tokenizer):
    ids = torch.tensor([tokenizer.encode("47*6?40*6+7*6=240+42=282")])
    probabilities = model(input_ids=ids).logits[0, 4:].softmax(-1)  # from the "?" on
    assert probabilities[:, len(tokenizer) :].sum(-1).max() < 1e-3
    assert probabilities[:, tokenizer.pad_token_id].max() < 1e-3


# --- building ---------------------------------------------------------------------------------------------------------


def test_a_seed_builds_the_same_weights_and_leaves_the_global_generator_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("relift.arithmetic.build.pass_rates", lambda *_, **__: {})  # measuring takes seconds
    state = torch.get_rng_state()
    losses = []
    for name in ["a", "b", "c"]:
        build_base(
            tmp_path / name, seed=int(name == "c"), steps=2, progress=lambda step, loss: losses.append((step, loss))
        )
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    assert torch.equal(torch.get_rng_state(), state)
    assert [step for step, _ in losses] == [1, 2] * 3
    assert losses[:2] == losses[2:4] and 3 < losses[0][1] < 5  # about ln 64 at the start
    assert json.loads((tmp_path / "c" / "ORIGIN.json").read_text())["command"].endswith("--seed 1 --steps 2")


def test_importing_the_room_loads_no_torch():
    code = "import sys, relift.arithmetic; assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
