"""The vLLM engine samples what the transformers engine would, from other draws."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
import torch

from relift.config import PolicyConfig
from relift.errors import ConfigError, Interrupted
from relift.policy.model import load_model
from relift.policy.student import Student, make_student
from relift.policy.tiny import byte_tokenizer, random_model
from relift.policy.transformers_engine import TransformersEngine
from relift.policy.vllm_engine import require_platform
from relift.records import FinishReason
from tests.vllm.conftest import Opener, Served, prompts, request, tokens

TEXTS = ("17+4?", "(15+23)*9-4*(8+11)?", "47*6?")


@pytest.fixture
def base() -> tuple[Any, Student]:
    return load_model(PolicyConfig(model="arithmetic"), seed=0)


@pytest.fixture
def served(base: tuple[Any, Student], engine_of: Opener) -> Served:
    return engine_of(*base)


def reference(model: Any, student: Student) -> TransformersEngine:
    return TransformersEngine(
        model,
        pad_id=student.pad_id,
        stop_ids=student.stop_ids,
        vocabulary=student.vocabulary,
        decode=student.decode,
        max_rows=64,
    )


def random_student(**changes: Any) -> tuple[Any, Student]:
    """A random model and the byte tokenizer: it writes on and on, over the whole vocabulary."""
    tokenizer = byte_tokenizer()
    model = random_model(3, vocabulary=len(tokenizer))
    if changes.get("poison"):
        with torch.no_grad():  # the pads' rows win every comparison of logits that looks at them
            weight = model.get_output_embeddings().weight
            weight[len(tokenizer) :] = weight[:1] + 100.0
    return model, make_student(tokenizer, model.config, model.generation_config, PolicyConfig(model="random-bytes"))


def test_a_rollout_does_not_depend_on_what_is_sampled_beside_it(served: Served, base: tuple[Any, Student]) -> None:
    engine, _ = served
    asked = prompts(base[1], *TEXTS)
    together = tokens(engine.sample(asked, request()))
    assert tokens(engine.sample(asked[1:2], request())) == together[1:2]
    assert tokens(engine.sample(asked[::-1], request())) == together[::-1]
    assert [g[:2] for g in tokens(engine.sample(asked, request(samples=2)))] == [g[:2] for g in together]
    torch.manual_seed(1)
    assert tokens(engine.sample(asked, request())) == together


def test_samples_of_a_group_differ_and_so_do_iterations_and_seeds(engine_of: Opener) -> None:
    model, student = random_student()
    engine, _ = engine_of(model, student)
    (group,) = tokens(engine.sample(prompts(student, "17+4?"), request()))
    assert len(set(group)) == 4
    for change in ({"iteration": 6}, {"seed": 1}):
        (other,) = tokens(engine.sample(prompts(student, "17+4?"), request(**change)))
        assert set(other).isdisjoint(group)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_recorded_logprobs_are_those_of_a_plain_forward_at_the_same_temperature(
    served: Served, base: tuple[Any, Student], temperature: float
) -> None:
    engine, policy = served
    asked = prompts(base[1], *TEXTS)
    for prompt, group in zip(asked, engine.sample(asked, request(temperature=temperature)), strict=True):
        for completion in group:
            ids = torch.tensor([prompt.token_ids + completion.token_ids])
            with torch.no_grad():
                logits_TV = policy.model(ids).logits[0, len(prompt.token_ids) - 1 : -1, : base[1].vocabulary]
            logprobs_TV = (logits_TV / temperature).log_softmax(-1)
            expected = logprobs_TV.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            np.testing.assert_allclose(completion.logprobs, expected.numpy(), atol=5e-5)


def test_greedy_sampling_writes_what_the_transformers_engine_writes(served: Served, base: tuple[Any, Student]) -> None:
    engine, policy = served
    asked = prompts(base[1], *TEXTS)
    found = engine.sample(asked, request(samples=1, temperature=0.0))
    expected = reference(policy.model, base[1]).sample(asked, request(samples=1, temperature=0.0))
    for (mine,), (theirs,) in zip(found, expected, strict=True):
        assert (mine.token_ids, mine.text, mine.finish_reason) == (theirs.token_ids, theirs.text, theirs.finish_reason)
        np.testing.assert_allclose(mine.logprobs, theirs.logprobs, atol=5e-5)


def test_both_engines_draw_from_the_same_distribution(engine_of: Opener) -> None:
    """First tokens of 2000 samples: a chi-squared test over the likeliest ones, at one in ten thousand."""
    model, student = random_student()
    engine, _ = engine_of(model, student)
    asked = prompts(student, "17+4?")
    (group,) = engine.sample(asked, request(samples=2000, max_tokens=1))
    with torch.no_grad():
        logits_V = model(torch.tensor([asked[0].token_ids])).logits[0, -1, : student.vocabulary]
    expected_V = logits_V.softmax(-1).numpy() * 2000
    found_V = np.bincount([c.token_ids[0] for c in group], minlength=student.vocabulary)
    order = np.argsort(-expected_V)[:60]
    observed, wanted = found_V[order], expected_V[order]
    chi = ((observed - wanted) ** 2 / wanted).sum() + (observed.sum() - wanted.sum()) ** 2 / (2000 - wanted.sum())
    assert chi < 60 + 3.72 * np.sqrt(2 * 60) + 2 * 3.72**2 / 3  # Wilson and Hilferty's bound of the quantile, nearly


def test_padding_of_the_vocabulary_is_never_sampled(engine_of: Opener) -> None:
    model, student = random_student(poison=True)
    engine, _ = engine_of(model, student)
    groups = engine.sample(prompts(student, "1?", "2?"), request(samples=8))
    assert max(t for g in groups for c in g for t in c.token_ids) < student.vocabulary < model.config.vocab_size


def test_a_completion_ends_with_its_stop_token_or_for_length(engine_of: Opener) -> None:
    model, student = random_student()
    stops = tuple(range(160, student.vocabulary))
    student = dataclasses.replace(student, stop_ids=stops)
    engine, _ = engine_of(model, student)
    groups = engine.sample(prompts(student, "x?", "y?"), request(samples=16, max_tokens=3))
    completions = [c for g in groups for c in g]
    stopped = [c for c in completions if c.finish_reason is FinishReason.STOP]
    cut = [c for c in completions if c.finish_reason is FinishReason.LENGTH]
    assert stopped and cut
    assert all(c.token_ids[-1] in stops for c in stopped)
    assert all(t not in stops for c in stopped for t in c.token_ids[:-1])
    assert all(len(c.token_ids) == 3 and not set(c.token_ids) & set(stops) for c in cut)
    assert all(c.policy_version == 0 and len(c.logprobs) == len(c.token_ids) for c in completions)


def test_sampling_stops_between_engine_steps_and_can_begin_again(engine_of: Opener) -> None:
    model, student = random_student()
    engine, _ = engine_of(model, student)
    expected = tokens(engine.sample(prompts(student, *TEXTS), request()))
    steps, began = 0, time.monotonic()

    def check() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        engine.sample(prompts(student, *TEXTS), request(samples=64), check=check)
    assert steps == 3 and time.monotonic() - began < 5
    assert not engine._llm.llm_engine.has_unfinished_requests()
    assert tokens(engine.sample(prompts(student, *TEXTS), request())) == expected


def test_progress_hears_of_every_token_once(served: Served, base: tuple[Any, Student]) -> None:
    heard: list[int] = []
    groups = served[0].sample(prompts(base[1], *TEXTS), request(), progress=heard.append)
    assert sum(heard) == sum(len(c.token_ids) for g in groups for c in g)


def test_a_prompt_without_room_for_its_completion_is_refused(served: Served, base: tuple[Any, Student]) -> None:
    with pytest.raises(ConfigError, match=r"do not fit the 72 tokens .*policy\.max_prompt_tokens"):
        served[0].sample(prompts(base[1], "1+" * 30 + "1?"), request())


def test_a_vllm_for_another_device_than_the_models_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"built for cpu, the model is on cuda\. Set policy\.device"):
        require_platform("cuda:0")


def test_a_second_process_group_is_never_made(base: tuple[Any, Student], engine_of: Opener, tmp_path: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        with pytest.raises(ConfigError, match="not under torchrun"):
            engine_of(*base)
    finally:
        torch.distributed.destroy_process_group()
