"""Engine and trainer compute what the model computes by itself, or the model is refused before any work."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from relift.config import PolicyConfig
from relift.errors import ModelError
from relift.learning import micro_batches, rollout_sequence, token_logprobs
from relift.learning.attention import NAME
from relift.opening.run import open_run
from relift.policy.model import load_model, load_student
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.supported import require_plain, require_same
from relift.policy.tiny import byte_tokenizer
from relift.policy.transformers_engine import TransformersEngine
from relift.records import Completion, Purpose, Question
from tests.models.architectures import CONTEXT, REFUSED, SUPPORTED, random_model, write_model
from tests.small_run import small_config

pytestmark = pytest.mark.models

VOCABULARY = 64
WINDOWED = ["mistral", "phi3", "gemma3_text", "qwen2, windows", "deepseek_v3", "gpt2"]


def sampled(model: Any, *, lengths: tuple[int, ...] = (3, 17, 20)) -> list[tuple[Prompt, Completion]]:
    draw = torch.Generator().manual_seed(1)
    prompts = [
        Prompt(
            Question(id=str(length), text="?", answer="1", source="test"),
            tuple(torch.randint(3, VOCABULARY, (length,), generator=draw).tolist()),
        )
        for length in lengths
    ]
    engine = TransformersEngine(
        model, pad_id=0, stop_ids=(2,), vocabulary=VOCABULARY, decode=lambda ids: "", max_rows=64
    )
    request = SamplingRequest(
        samples=3, max_tokens=12, temperature=1.0, seed=0, iteration=0, purpose=Purpose.TRAIN, version=0
    )
    return [(p, c) for p, group in zip(prompts, engine.sample(prompts, request), strict=True) for c in group]


def alone(model: Any, prompt: Prompt, completion: Completion) -> torch.Tensor:
    """Log-probabilities of the completion by the library alone: one sequence, no cache, eager attention."""
    token_ids_1T = torch.tensor([prompt.token_ids + completion.token_ids])
    with torch.no_grad():
        logprobs_TV = model(token_ids_1T, use_cache=False).logits[0, len(prompt.token_ids) - 1 : -1].log_softmax(-1)
    return logprobs_TV.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]


def eager(model: Any) -> Any:
    made = copy.deepcopy(model)
    made.set_attn_implementation("eager")
    return made


@pytest.mark.parametrize("name", WINDOWED)
def test_engine_and_trainer_compute_what_a_model_with_windows_does(name: str) -> None:
    model = random_model(SUPPORTED[name], vocabulary=VOCABULARY)
    reference = eager(model)
    pairs = sampled(model)
    expected = [alone(reference, *pair) for pair in pairs]
    for (_, completion), wanted in zip(pairs, expected, strict=True):
        torch.testing.assert_close(torch.tensor(completion.logprobs), wanted, rtol=0, atol=3e-5)
    sequences = [rollout_sequence(p.token_ids, p.question.id, c) for p, c in pairs]
    for batch in micro_batches(sequences, max_tokens=150, share_prompts=True):
        with torch.no_grad():
            logprobs_C, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=1000)
        for slot, index in enumerate(batch.indices):
            torch.testing.assert_close(logprobs_C[batch.sequence_C == slot], expected[index], rtol=0, atol=3e-5)


def test_without_its_window_a_model_would_say_something_else() -> None:
    """So the test above could fail."""
    model = random_model(SUPPORTED["mistral"], vocabulary=VOCABULARY)
    unlimited = eager(model)
    unlimited.config.sliding_window = None
    gaps = [(alone(unlimited, p, c) - torch.tensor(c.logprobs)).abs().max() for p, c in sampled(model)]
    assert min(gaps) > 0.1


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_engine_or_trainer_do_not_compute_is_refused_by_name(name: str) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(ModelError, match=r"docs/models\.md") as caught:
        require_plain(make({"vocab_size": VOCABULARY}), name)
        require_same(random_model(make, vocabulary=VOCABULARY), name, vocabulary=VOCABULARY, pad_id=0, context=CONTEXT)
    assert reason in str(caught.value)


def test_a_window_too_long_to_try_is_found_by_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(SUPPORTED["mistral"], vocabulary=VOCABULARY)
    model.config.sliding_window = 5000
    require_same(model, "mistral", vocabulary=VOCABULARY, pad_id=0, context=CONTEXT)
    attention = model.model.layers[1].self_attn
    attention.config = copy.deepcopy(model.config)
    attention.config.sliding_window = 4000  # as a model whose code reads another setting than its masks
    with pytest.raises(ModelError, match="its mask is cut to 5000 tokens, but its attention is told of 4000"):
        require_same(model, "mistral", vocabulary=VOCABULARY, pad_id=0, context=CONTEXT)


def test_the_check_leaves_the_model_as_it_was() -> None:
    model = random_model(SUPPORTED["llama"], vocabulary=VOCABULARY)
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    require_same(model, "llama", vocabulary=VOCABULARY, pad_id=0, context=CONTEXT)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.config._attn_implementation == NAME


def test_weights_that_are_no_numbers_are_refused() -> None:
    model = random_model(SUPPORTED["llama"], vocabulary=VOCABULARY)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match="its weights are damaged"):
        require_same(model, "llama", vocabulary=VOCABULARY, pad_id=0, context=CONTEXT)


@pytest.mark.parametrize("setting", ["policy.dtype=bfloat16", "policy.dtype=float32"])
def test_evaluation_refuses_such_a_model_as_training_does(tmp_path: Path, setting: str) -> None:
    folder = write_model(tmp_path / "model", REFUSED["phimoe"][0], byte_tokenizer())
    config = small_config(tmp_path / "runs", f"policy.model={folder}", setting, "policy.max_prompt_tokens=64")
    with pytest.raises(ModelError, match="its mask is cut to"):
        open_run(config, "refused", teaches=False)
    assert not (tmp_path / "runs" / "refused" / "run.json").exists()


def test_a_tokenizer_alone_is_not_loaded_for_a_refused_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", REFUSED["granite"][0], byte_tokenizer())
    for load in (load_student, lambda config: load_model(config, seed=0)):
        with pytest.raises(ModelError, match="logits_scaling"):
            load(PolicyConfig(model=str(folder)))


@pytest.mark.parametrize(("name", "found"), [("gpt2", "has none"), ("gemma3_text", "one for each kind of layer")])
def test_a_rotary_base_that_would_change_nothing_is_refused(tmp_path: Path, name: str, found: str) -> None:
    folder = write_model(tmp_path / "model", SUPPORTED[name], byte_tokenizer())
    with pytest.raises(ModelError, match=f"policy.rope_theta=40000 .* {found}"):
        load_model(PolicyConfig(model=str(folder), rope_theta=40000.0), seed=0)
