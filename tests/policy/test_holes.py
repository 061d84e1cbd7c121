"""Ids that no token has, inside a vocabulary: never sampled, without probability, and no part of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from relift.config import PolicyConfig
from relift.errors import ModelError
from relift.learning import micro_batches, rollout_sequence, token_logprobs
from relift.policy.model import export_model, load_model
from relift.policy.sampling_request import SamplingRequest
from relift.policy.student import Student
from relift.policy.transformers_engine import TransformersEngine
from relift.policy.weights import weight_tensors
from relift.records import Purpose, Question
from tests.models.families import with_hole

QUESTION = Question(id="q", text="What is 6*7?", answer="42", source="test")
REQUEST = SamplingRequest(
    samples=16, max_tokens=24, temperature=1.0, seed=0, iteration=0, purpose=Purpose.TRAIN, version=0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that would say nothing but ids without a token, were it asked without care."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("hole")
    tokenizer = with_hole()
    config = LlamaConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        vocab_size=448,
        max_position_embeddings=256,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # states share a direction, and the rows of the hole go along with it
        model.model.norm.weight.fill_(0.5)
        model.model.embed_tokens.weight += 1.0
        model.lm_head.weight[375:380] = 2.0
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Any, Student]:
    return load_model(PolicyConfig(model=str(folder)), seed=0)


def engine_of(model: Any, student: Student) -> TransformersEngine:
    return TransformersEngine(
        model,
        pad_id=student.pad_id,
        stop_ids=student.stop_ids,
        vocabulary=student.vocabulary,
        decode=student.decode,
        max_rows=16,
    )


def test_an_id_without_a_token_is_never_sampled_and_the_trainer_gives_it_no_probability(
    folder: Path, loaded: tuple[Any, Student]
) -> None:
    model, student = loaded
    prompt = student.prompt(QUESTION)
    careless = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits_V = careless(torch.tensor([prompt.token_ids])).logits[0, -1]
    assert logits_V.softmax(-1)[375:380].sum() > 0.5, "the model would not say them, so this shows nothing"

    ((*completions,),) = engine_of(model, student).sample([prompt], REQUEST)
    said = {i for completion in completions for i in completion.token_ids}
    assert len(said) > 20 and not said & set(student.holes)
    for completion in completions:
        sequence = rollout_sequence(prompt.token_ids, "q", completion)
        (batch,) = micro_batches([sequence], max_tokens=1000)
        logprobs_C, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=student.vocabulary, chunk_tokens=64)
        torch.testing.assert_close(logprobs_C, torch.tensor(completion.logprobs), rtol=0, atol=1e-4)
    with torch.no_grad():
        probabilities_V = model(torch.tensor([prompt.token_ids])).logits[0, -1, : student.vocabulary].softmax(-1)
    assert probabilities_V[list(student.holes)].sum() == 0


def test_what_rules_them_out_is_not_trained_nor_exported(
    folder: Path, loaded: tuple[Any, Student], tmp_path: Path
) -> None:
    model, student = loaded
    assert "lm_head.bias" not in dict(model.named_parameters()) and "lm_head.bias" not in weight_tensors(model)
    export_model(model, student, tmp_path)
    exported, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    torch.testing.assert_close(exported.lm_head.weight, model.lm_head.weight, rtol=0, atol=0)


def test_a_head_with_a_bias_of_its_own_is_refused_by_name(folder: Path) -> None:
    from relift.policy.holes import mask_holes

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.lm_head = torch.nn.Linear(32, 448, bias=True)
    with pytest.raises(ModelError, match=r"no token for 2 of its ids \(3, 5\.\.\.\).*<\|unused_3\|>"):
        mask_holes(model, (3, 5))


def test_a_tokenizer_with_an_id_beyond_the_models_rows_is_refused(folder: Path, tmp_path: Path) -> None:
    config = LlamaConfig.from_pretrained(folder, vocab_size=380)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with_hole().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="a token with the id 383, its model only 380 rows"):
        load_model(PolicyConfig(model=str(tmp_path)), seed=0)
