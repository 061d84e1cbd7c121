"""Prompts, stop tokens and demonstrations as tokens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from relift.config import PolicyConfig
from relift.errors import ModelError, SelfCheckFailed
from relift.policy.model import load_model
from relift.policy.student import make_student
from relift.policy.tiny import byte_tokenizer, random_model, write_random_bytes
from relift.policy.weights import weights_checksum
from relift.records import Question

QUESTION = Question(id="q", text="6*7?", answer="42", source="test")


def student(**settings: object):  # type: ignore[no-untyped-def]
    config = PolicyConfig(model="random-bytes", **settings)
    return make_student(byte_tokenizer(), SimpleNamespace(max_position_embeddings=64), None, config)


def test_the_prompt_is_the_rendered_chat_and_a_system_prompt_comes_first() -> None:
    plain, with_system = student(), student(system_prompt="Be brief.")
    assert plain.tokenizer.decode(plain.prompt(QUESTION).token_ids) == "<bos>6*7?\n"
    assert with_system.tokenizer.decode(with_system.prompt(QUESTION).token_ids) == "<bos>Be brief.\n<bos>6*7?\n"


def test_a_gpu_that_is_not_there_is_said_before_anything_of_the_model_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ModelError, match="torch sees no GPU"):
        load_model(PolicyConfig(model="nobody/never-downloaded", device="cuda"), seed=0)


def test_a_demonstration_starting_with_the_opening_of_the_prompt_yields_it_once() -> None:
    thinking = student(prompt_suffix="<think>\n")
    prompt = thinking.prompt(QUESTION).token_ids
    for text in ("<think>\nsix sevens</think> 42", "six sevens</think> 42"):
        joined = thinking.tokenizer.decode(prompt + thinking.solution_ids(text))
        assert joined == "<bos>6*7?\n<think>\nsix sevens</think> 42<eos>"


def test_a_demonstration_ends_with_end_of_sequence_and_counts_it() -> None:
    assert student().solution_ids("ab")[-1] == 2
    assert student().write("ab").tokens == 3


def test_a_solution_whose_labels_would_be_another_text_is_faulty_and_a_run_needs_one_that_is_not() -> None:
    assert student().write("x = \\frac{1}{2} é\n").fault is None
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    lossy = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1, "a": 2}, unk_token="<unk>")),
        unk_token="<unk>",
        eos_token="<eos>",
    )
    lossy.chat_template = "{{ messages[0]['content'] }}"
    poor = make_student(lossy, SimpleNamespace(max_position_embeddings=64), None, PolicyConfig(model="poor"))
    assert "cannot write all of its characters" in (poor.write("ab").fault or "")
    assert poor.write("a").fault is None
    poor.require_solutions(["b", "a"])
    with pytest.raises(SelfCheckFailed, match=r"none of the first 2 solutions .* teach another text"):
        poor.require_solutions(["b", "ab"])


def test_a_tokenizer_without_chat_template_or_end_is_refused_with_what_to_set() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    config = SimpleNamespace(max_position_embeddings=64)
    with pytest.raises(ModelError, match=r"policy\.chat_template"):
        make_student(tokenizer, config, None, PolicyConfig(model="m"))
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="end-of-sequence"):
        make_student(tokenizer, config, None, PolicyConfig(model="m"))


def test_a_folder_without_model_or_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model folder"):
        load_model(PolicyConfig(model=str(tmp_path / "nothing")), seed=0)
    random_model(0, vocabulary=259).save_pretrained(tmp_path / "no_tokenizer")
    with pytest.raises(ModelError, match="no tokenizer"):
        load_model(PolicyConfig(model=str(tmp_path / "no_tokenizer")), seed=0)


def test_a_written_folder_loads_to_the_same_weights_and_the_checksum_sees_one_bit(tmp_path: Path) -> None:
    folder = write_random_bytes(tmp_path / "model", seed=4)
    model, loaded = load_model(PolicyConfig(model=str(folder)), seed=0)
    assert loaded.vocabulary == 259
    before = weights_checksum(model)
    assert before == weights_checksum(random_model(4, vocabulary=259))
    with __import__("torch").no_grad():
        model.model.norm.weight[0] += 1e-6
    assert weights_checksum(model) != before


def test_writing_the_model_folder_anew_does_not_change_the_loaded_weights(tmp_path: Path) -> None:
    folder = write_random_bytes(tmp_path / "model", seed=4)
    model, _ = load_model(PolicyConfig(model=str(folder)), seed=0)
    before = weights_checksum(model)
    file = folder / "model.safetensors"
    with file.open("r+b") as opened:  # in place, as copying another model over it does
        opened.seek(file.stat().st_size // 2)
        opened.write(b"\x01" * (file.stat().st_size // 4))
    assert weights_checksum(model) == before


def test_a_tokenizer_with_more_tokens_than_its_model_has_rows_is_refused_before_weights_are_read() -> None:
    tokenizer = byte_tokenizer()
    config = SimpleNamespace(max_position_embeddings=64, vocab_size=len(tokenizer) - 1)
    with pytest.raises(ModelError, match=f"the id {len(tokenizer) - 1}, its model only {config.vocab_size} rows"):
        make_student(tokenizer, config, None, PolicyConfig(model="m"))
