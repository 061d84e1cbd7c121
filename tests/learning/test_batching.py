import dataclasses

import pytest
import torch
from learning_helpers import sequences

from relift.errors import ConfigError
from relift.learning.batching import micro_batches, split
from relift.learning.branches import ATTENTION_TOKENS
from relift.records import TrainingSequence

LENGTHS = [3, 40, 1, 17, 17, 2, 9, 30]
SKEWED = [int(20 + 492 * (i / 511) ** 6) for i in range(512)]
"""From 20 to 512 tokens, 90 on average."""


def costs(parts, lengths):
    return [sum(lengths[i] + lengths[i] ** 2 / ATTENTION_TOKENS for i in part) for part in parts]


def divided(lengths, max_tokens, ranks=1):
    return split(lengths, [length + length**2 / ATTENTION_TOKENS for length in lengths], max_tokens, ranks)


def spans(batch):
    return [(span.start, span.stop) for span in batch.spans]


def test_every_sequence_is_in_exactly_one_micro_batch_within_the_budget():
    made = sequences(LENGTHS)
    for budget in (46, 64, 100, 10_000):
        batches = micro_batches(made, max_tokens=budget)
        assert sorted(i for batch in batches for i in batch.indices) == list(range(len(made)))
        assert all(len(batch.token_ids_P) == spans(batch)[-1][1] <= budget for batch in batches)
    assert len(batches) == 1


def test_sequences_lie_one_after_the_other_without_padding():
    first = TrainingSequence(
        question_id="a",
        token_ids=(11, 12, 13, 14, 15),
        loss_mask=(0, 0, 0, 1, 1),
        sampling_logprobs=(0.0, 0.0, 0.0, -0.5, -2.0),
        advantage=1.5,
    )
    second = TrainingSequence(
        question_id="b",
        token_ids=(21, 22, 23),
        loss_mask=(0, 0, 1),
        sampling_logprobs=(0.0, 0.0, -1.0),
        advantage=-0.25,
    )
    (batch,) = micro_batches([second, first], max_tokens=8)
    assert batch.indices == (1, 0), "longest first"
    assert spans(batch) == [(0, 5), (5, 8)]
    assert batch.token_ids_P.tolist() == [11, 12, 13, 14, 15, 21, 22, 23]
    assert batch.positions_P.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert batch.predictors_C.tolist() == [2, 3, 6]
    assert batch.targets_C.tolist() == [14, 15, 23]
    assert batch.sequence_C.tolist() == [0, 0, 1]
    assert batch.loss_tokens_S.tolist() == [2.0, 1.0]
    assert batch.advantages_S.tolist() == [1.5, -0.25]
    assert batch.sampling_logprobs_C.tolist() == [-0.5, -2.0, -1.0]


def test_demonstrations_have_neither_advantages_nor_sampler_logprobs():
    (batch,) = micro_batches(sequences([2, 5], demonstration=True), max_tokens=100)
    assert batch.advantages_S is None
    assert batch.sampling_logprobs_C is None


def test_the_first_token_of_a_sequence_cannot_be_in_the_loss():
    (made,) = sequences([3])
    wrong = dataclasses.replace(made, loss_mask=(1,) * len(made.token_ids))
    with pytest.raises(AssertionError, match="nothing to be predicted from"):
        micro_batches([*sequences([4]), wrong], max_tokens=100)


def test_the_same_sequences_and_budget_give_the_same_split():
    assert divided(SKEWED, 768) == divided(SKEWED, 768)


def test_micro_batches_are_few_and_cost_about_the_same():
    parts = divided(SKEWED, 768)
    assert len(parts) <= 1.03 * sum(SKEWED) / 768 + 1
    spent = costs(parts, SKEWED)
    assert spent == sorted(spent, reverse=True)
    assert max(spent) < 1.05 * min(spent)


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_every_rank_gets_as_many_micro_batches_and_about_as_much_work(ranks):
    parts = divided(SKEWED, 768, ranks)
    assert len(parts) % ranks == 0
    assert all(parts)
    shares = [sum(costs(parts[rank::ranks], SKEWED)) for rank in range(ranks)]
    assert max(shares) < 1.02 * min(shares)


def test_a_rank_without_a_sequence_gets_an_empty_micro_batch():
    whole, _, empty = micro_batches(sequences([3, 4]), max_tokens=100, count_multiple=3)
    assert whole.spans
    assert empty.indices == empty.spans == ()
    assert len(empty.token_ids_P) == len(empty.targets_C) == len(empty.loss_tokens_S) == len(empty.advantages_S) == 0
    assert micro_batches([], max_tokens=30, count_multiple=3) == []


def test_long_sequences_that_leave_no_room_are_split_without_searching():
    assert [len(part) for part in divided([60] * 1000, 100)] == [1] * 1000
    parts = divided([40] * 999, 100)
    assert sorted(i for part in parts for i in part) == list(range(999))
    assert len(parts) == 500


def test_a_budget_smaller_than_a_sequence_is_refused_by_name():
    made = sequences([3, 40])
    with pytest.raises(
        ConfigError, match=r"budget of 30 tokens is smaller than a sequence of 4\d tokens \(question q1\)"
    ):
        micro_batches(made, max_tokens=30)


def test_nothing_makes_no_micro_batches():
    assert micro_batches([], max_tokens=30) == []


def test_all_tensors_move_together():
    (batch,) = micro_batches(sequences(LENGTHS), max_tokens=1000)
    moved = batch.to(torch.device("meta"))
    for field in dataclasses.fields(batch):
        value = getattr(moved, field.name)
        if isinstance(value, torch.Tensor):
            assert value.device.type == "meta", field.name
        else:
            assert value == getattr(batch, field.name), field.name
