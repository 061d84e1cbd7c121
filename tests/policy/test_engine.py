"""The transformers engine: what it samples, what it records, and what its draws depend on."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from relift.errors import Interrupted
from relift.policy import transformers_engine
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.tiny import byte_tokenizer, random_model
from relift.policy.transformers_engine import TransformersEngine, choose
from relift.records import FinishReason, Purpose, Question, question_id

TOKENIZER = byte_tokenizer()
VOCABULARY = len(TOKENIZER)


def make_engine(model: Any, *, max_rows: int = 64, stop_ids: tuple[int, ...] = (2,)) -> TransformersEngine:
    return TransformersEngine(
        model, pad_id=0, stop_ids=stop_ids, vocabulary=VOCABULARY, decode=TOKENIZER.decode, max_rows=max_rows
    )


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    return random_model(3, vocabulary=VOCABULARY)


def prompts(*texts: str) -> list[Prompt]:
    return [
        Prompt(
            Question(id=question_id(text), text=text, answer="1", source="test"),
            tuple(TOKENIZER(text, add_special_tokens=False)["input_ids"]),
        )
        for text in texts
    ]


def request(**changes: Any) -> SamplingRequest:
    values = {"samples": 4, "max_tokens": 12, "temperature": 1.0, "seed": 0, "iteration": 5, "version": 7}
    return SamplingRequest(purpose=Purpose.TRAIN, **{**values, **changes})


def test_a_rollout_does_not_depend_on_what_is_sampled_beside_it(model: Any) -> None:
    asked = prompts("17+4?", "a much longer question than the other ones?", "3?")
    together = make_engine(model).sample(asked, request())
    alone = make_engine(model).sample(asked[:1], request())
    in_small_batches = make_engine(model, max_rows=4).sample(asked, request())
    assert [c.token_ids for c in alone[0]] == [c.token_ids for c in together[0]]
    assert [[c.token_ids for c in g] for g in in_small_batches] == [[c.token_ids for c in g] for g in together]


def test_a_prompt_may_write_less_than_the_others_and_the_same_beginning(model: Any) -> None:
    asked = prompts("17+4?", "3?", "8?")
    engine = make_engine(model, stop_ids=())
    whole = engine.sample(asked, request())
    cut = engine.sample([asked[0], replace(asked[1], max_tokens=5), asked[2]], request())
    assert [[c.token_ids for c in g] for g in cut[::2]] == [[c.token_ids for c in g] for g in whole[::2]]
    assert [c.token_ids for c in cut[1]] == [c.token_ids[:5] for c in whole[1]]


def test_samples_of_a_group_differ_and_so_do_iterations_and_seeds(model: Any) -> None:
    asked = prompts("17+4?")
    (group,) = make_engine(model).sample(asked, request())
    assert len({c.token_ids for c in group}) == 4
    for change in ({"iteration": 6}, {"seed": 1}):
        (other,) = make_engine(model).sample(asked, request(**change))
        assert {c.token_ids for c in other}.isdisjoint({c.token_ids for c in group})


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_recorded_logprobs_are_those_of_a_plain_forward_at_the_same_temperature(model: Any, temperature: float) -> None:
    asked = prompts("17+4?", "a longer question?")
    for prompt, group in zip(asked, make_engine(model).sample(asked, request(temperature=temperature)), strict=True):
        for completion in group:
            ids = torch.tensor([prompt.token_ids + completion.token_ids])
            with torch.no_grad():
                logits_TV = model(ids).logits[0, len(prompt.token_ids) - 1 : -1, :VOCABULARY]
            logprobs_TV = (logits_TV / temperature).log_softmax(-1)
            expected = logprobs_TV.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            np.testing.assert_allclose(completion.logprobs, expected.numpy(), atol=2e-6)


def test_greedy_sampling_is_what_generate_writes(model: Any) -> None:
    (prompt,) = prompts("What is 6*7?")
    ((completion,),) = make_engine(model).sample([prompt], request(samples=1, temperature=0.0))
    ids = torch.tensor([prompt.token_ids])
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=12,
        do_sample=False,
        suppress_tokens=[*range(VOCABULARY, 320)],
    )
    assert completion.token_ids == tuple(written[0, ids.shape[1] :].tolist())


def test_padding_of_the_vocabulary_is_never_sampled() -> None:
    model = random_model(0, vocabulary=VOCABULARY)
    with torch.no_grad():  # the pads' rows win every comparison of logits that looks at them
        model.get_output_embeddings().weight[VOCABULARY:] = model.get_output_embeddings().weight[:1] + 100.0
    groups = make_engine(model).sample(prompts("1?", "2?"), request(samples=8, max_tokens=16))
    assert max(t for g in groups for c in g for t in c.token_ids) < VOCABULARY


def test_a_completion_ends_with_its_stop_token_or_for_length(model: Any) -> None:
    every_token_but_few = tuple(range(160, VOCABULARY))
    groups = make_engine(model, stop_ids=every_token_but_few).sample(
        prompts("x?", "y?"), request(samples=16, max_tokens=3)
    )
    completions = [c for g in groups for c in g]
    stopped = [c for c in completions if c.finish_reason is FinishReason.STOP]
    cut = [c for c in completions if c.finish_reason is FinishReason.LENGTH]
    assert stopped and cut
    assert all(c.token_ids[-1] in every_token_but_few for c in stopped)
    assert all(t not in every_token_but_few for c in stopped for t in c.token_ids[:-1])
    assert all(len(c.token_ids) == 3 and not set(c.token_ids) & set(every_token_but_few) for c in cut)
    assert all(c.policy_version == 7 and len(c.logprobs) == len(c.token_ids) for c in completions)


def test_each_prompt_is_computed_once_for_its_whole_group(model: Any) -> None:
    rows: list[int] = []
    hook = model.model.embed_tokens.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape))
    try:
        make_engine(model).sample(prompts("one?", "two?"), request(samples=8, max_tokens=4))
    finally:
        hook.remove()
    assert tuple(rows[0]) == (2, 4)
    assert all(shape[1] == 1 for shape in rows[1:])


def test_sampling_stops_between_decode_steps_when_asked_to(model: Any) -> None:
    steps = 0

    def check() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        make_engine(model, stop_ids=(VOCABULARY + 1,)).sample(prompts("x?"), request(), check=check)
    assert steps == 3


def test_choose_inverts_the_cumulative_distribution() -> None:
    probabilities = torch.tensor([[0.1, 0.2, 0.7]] * 5)
    uniforms_B1 = torch.tensor([[0.05], [0.1], [0.29], [0.31], [0.999999999]], dtype=torch.float64)
    tokens_B1, logprobs_B1 = choose(probabilities.log(), uniforms_B1, 1.0)
    assert tokens_B1[:, 0].tolist() == [0, 1, 1, 2, 2]
    torch.testing.assert_close(logprobs_B1[:, 0].exp(), torch.tensor([0.1, 0.2, 0.2, 0.7, 0.7]))


def test_a_lower_temperature_sharpens_and_the_logprob_says_so() -> None:
    logits_BV = torch.tensor([[0.0, 1.0]])
    _, logprob_B1 = choose(logits_BV, torch.tensor([[0.9]], dtype=torch.float64), 0.5)
    assert logprob_B1.item() == pytest.approx(float(torch.tensor([0.0, 2.0]).log_softmax(0)[1]))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_few_rows_at_a_time_are_chosen_as_all_at_once(monkeypatch: pytest.MonkeyPatch, temperature: float) -> None:
    draw = np.random.default_rng(0)
    logits_BV = torch.from_numpy(draw.normal(size=(7, 50))).float()
    uniform_B1 = torch.from_numpy(draw.random((7, 1))) if temperature else None
    whole = choose(logits_BV, uniform_B1, temperature)
    monkeypatch.setattr(transformers_engine, "CHOSEN_AT_ONCE", 100)
    parts = choose(logits_BV, uniform_B1, temperature)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_weights_that_are_cast_once_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after an update inside one autocast, as a run has it."""
    model = random_model(4, vocabulary=VOCABULARY)
    engine = make_engine(model)

    def sampled() -> list[Any]:
        return engine.sample(prompts("1+1=", "12*3="), request())

    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        first = sampled()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        second = sampled()
        monkeypatch.setattr(transformers_engine, "_weights_cast_once", lambda device: nullcontext())
        assert sampled() == second != first
