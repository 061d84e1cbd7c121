"""What sequences with a common prompt share, and that sharing changes rounding alone."""

import dataclasses
import itertools

import pytest
import torch
from learning_helpers import (
    VOCABULARY,
    RecordingOptimizer,
    by_sequence,
    families_of,
    padded_logprobs,
    plain_gradient,
    relative_error,
    rl,
    sequences,
    tiny_model,
)

from relift.learning import spans
from relift.learning.batching import micro_batches
from relift.learning.branches import LEAST_SAVED, alone, families
from relift.learning.forward import packing_error, token_logprobs
from relift.learning.head import Entropy
from relift.policy.recompute import recompute_layers
from relift.records import TrainingSequence

PROMPT = tuple(range(100, 120))


def rollout(*completion, prompt=PROMPT, advantage=1.0):
    return TrainingSequence(
        question_id="q",
        token_ids=prompt + completion,
        loss_mask=(0,) * len(prompt) + (1,) * len(completion),
        sampling_logprobs=(0.0,) * len(prompt) + tuple(-float(token) for token in completion),
        advantage=advantage,
    )


def shared(made, max_tokens=1000):
    return [(family.indices, family.stops, family.prefix) for family in families(made, max_tokens)]


# ---------------------------------------------------------------- the layout


def test_a_prompt_lies_in_the_pack_once_and_its_last_token_predicts_every_first_token():
    made = [rollout(1, 2), rollout(3, 4, 5, advantage=-2.0), rollout(6, prompt=(7, 8, 9))]
    (batch,) = micro_batches(made, max_tokens=100, share_prompts=True)
    assert batch.indices == (1, 0, 2), "longest first"
    assert batch.token_ids_P.tolist() == [*PROMPT, 3, 4, 1, 7, 8, 9]
    assert batch.positions_P.tolist() == [*range(20), 20, 21, 20, 0, 1, 2]
    assert [dataclasses.astuple(span) for span in batch.spans] == [
        (0, 20, 0, 0),
        (20, 22, 0, 20),
        (22, 23, 0, 20),
        (23, 26, 23, 23),
    ]
    assert batch.targets_C.tolist() == [3, 4, 5, 1, 2, 6]
    assert batch.predictors_C.tolist() == [19, 20, 21, 19, 22, 25]
    assert batch.sequence_C.tolist() == [0, 0, 0, 1, 1, 2]
    assert batch.loss_tokens_S.tolist() == [3.0, 2.0, 1.0]
    assert batch.advantages_S.tolist() == [-2.0, 1.0, 1.0]
    assert batch.sampling_logprobs_C.tolist() == [-3.0, -4.0, -5.0, -1.0, -2.0, -6.0]


def test_a_completion_of_one_token_adds_nothing_to_its_prompt():
    (batch,) = micro_batches([rollout(1), rollout(2)], max_tokens=100, share_prompts=True)
    assert batch.token_ids_P.tolist() == [*PROMPT]
    assert batch.predictors_C.tolist() == [19, 19]
    assert len(batch.spans) == 1


def test_only_prompts_that_are_equal_token_for_token_are_shared():
    other = (*PROMPT[:-1], 99)
    made = [rollout(1, 2), rollout(3, 4, prompt=other), rollout(5, 6), rollout(7, 8, prompt=PROMPT[:-1])]
    assert shared(made) == [((0, 2), (21, 21), 20), ((1,), (21,), 0), ((3,), (20,), 0)]


def test_sharing_that_saves_next_to_nothing_is_left_out():
    short = PROMPT[: LEAST_SAVED - 1]
    assert shared([rollout(1, 2, prompt=short)] * 2) == [((0,), (16,), 0), ((1,), (16,), 0)]
    assert shared([rollout(1, 2, prompt=short)] * 3) == [((0, 1, 2), (16, 16, 16), 15)]


def test_a_family_larger_than_the_budget_repeats_its_prompt():
    made = [rollout(*range(1, length + 1)) for length in (5, 11, 3, 11)]  # beyond the prompt 4, 10, 2, 10 are computed
    assert shared(made, max_tokens=46) == [((1, 3, 0, 2), (30, 30, 24, 22), 20)]
    assert shared(made, max_tokens=34) == [((1, 0), (30, 24), 20), ((3, 2), (30, 22), 20)]
    for batch in micro_batches(made, max_tokens=34, share_prompts=True):
        assert len(batch.token_ids_P) <= 34


def test_a_sequence_without_a_token_in_the_loss_takes_one_token():
    silent = dataclasses.replace(rollout(1, 2), loss_mask=(0,) * 22)
    (batch,) = micro_batches([silent, rollout(3)], max_tokens=100, share_prompts=True)
    assert batch.loss_tokens_S.tolist() == [1.0, 0.0]
    assert len(batch.token_ids_P) == 21


def test_without_sharing_every_sequence_lies_whole():
    made = [rollout(1, 2), rollout(3)]
    assert [(family.indices, family.tokens) for family in alone(made)] == [((0,), 22), ((1,), 21)]


@pytest.mark.parametrize("budget", [46, 60, 100, 10_000])
def test_every_sequence_is_in_one_micro_batch_whatever_it_shares(budget):
    made = families_of()
    batches = micro_batches(made, max_tokens=budget, count_multiple=2, share_prompts=True)
    assert len(batches) % 2 == 0
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(made)))
    assert all(len(batch.token_ids_P) <= budget for batch in batches)
    for batch in batches:
        for index, targets in by_sequence(batch.targets_C, batch).items():
            assert tuple(targets.tolist()) == made[index].token_ids[-made[index].loss_tokens :]


# ---------------------------------------------------------------- log-probabilities and gradients


@pytest.mark.parametrize("budget", [46, 100, 10_000])
def test_sharing_changes_neither_logprobs_nor_entropies_nor_gradients(budget):
    model, made = tiny_model().double(), families_of()

    def weighted(parts):
        ramps = [torch.linspace(-1, 2, len(logprobs), dtype=torch.float64) + i for i, (logprobs, _) in enumerate(parts)]
        return sum((r * (logprob + 0.3 * h.flip(0))).sum() for r, (logprob, h) in zip(ramps, parts, strict=True))

    expected_parts = padded_logprobs(model, made)
    expected = plain_gradient(model, lambda reference: weighted(padded_logprobs(reference, made)))
    parts = {}
    for batch in micro_batches(made, max_tokens=budget, share_prompts=True):
        both = token_logprobs(
            model, batch, temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=7, entropy=Entropy.GRADIENT
        )
        logprobs, entropies = (by_sequence(values, batch) for values in both)
        parts |= {i: (logprobs[i], entropies[i]) for i in batch.indices}
    got = [parts[i] for i in range(len(made))]
    for (logprob, entropy), (expected_logprob, expected_entropy) in zip(got, expected_parts, strict=True):
        torch.testing.assert_close(logprob, expected_logprob, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(entropy, expected_entropy, rtol=1e-12, atol=1e-12)
    weighted(got).backward()
    # Of a prompt one gradient goes through the library's norm, which computes in float32, instead of the sum of many.
    assert relative_error({name: p.grad for name, p in model.named_parameters()}, expected) < 1e-7


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("chunk", [1, 64, 10_000])
def test_no_way_to_take_a_step_on_shared_prompts_changes_its_gradient(chunk, recomputed):
    made = families_of()
    tokens = sum(s.loss_tokens for s in made)

    def reinforce(reference):
        parts = padded_logprobs(reference, made)
        return -sum(s.advantage * logprobs.sum() for s, (logprobs, _) in zip(made, parts, strict=True)) / tokens

    expected = plain_gradient(tiny_model(), reinforce)
    for budget, order in itertools.product((46, 90, 200, 10_000), (made, made[::-1])):
        model = tiny_model()
        if recomputed:
            recompute_layers(model, every=1)
        optimizer = RecordingOptimizer(model)
        report = rl(model, optimizer, [order], budget=budget, chunk=chunk)
        assert relative_error(optimizer.steps[0], expected) < 5e-6
        assert report.sequences == len(made)


def test_the_check_at_the_start_computes_shared_prompts(monkeypatch):
    settings = {"temperature": 1.0, "vocabulary": VOCABULARY, "chunk_tokens": 1000, "max_tokens": 100}
    model, made = tiny_model(), families_of()
    assert packing_error(model, made, **settings) < 1e-5
    seen = spans._seen

    def wrongly(tensor_KPD, span):
        """What a branch sees of its prompt is something else."""
        found = seen(tensor_KPD, span).clone()
        found[:, : span.prefix_stop - span.prefix_start].neg_()
        return found

    monkeypatch.setattr(spans, "_seen", wrongly)
    assert packing_error(model, sequences([3, 9]), **settings) < 1e-5, "nothing is shared here"
    assert packing_error(model, made, **settings) > 0.01
