import pytest
import torch
from learning_helpers import PAD, sequences

from relift.errors import ConfigError
from relift.learning import micro_batches

LENGTHS = [3, 40, 1, 17, 17, 2, 9, 30]


def test_every_sequence_is_in_exactly_one_micro_batch_within_the_budget():
    made = sequences(LENGTHS)
    for budget in (46, 64, 100, 10_000):
        batches = micro_batches(made, max_tokens=budget, pad_id=PAD)
        assert sorted(i for batch in batches for i in batch.indices) == list(range(len(made)))
        assert all(batch.token_ids_BT.numel() <= budget for batch in batches)
    assert len(batches) == 1


def test_longest_first_so_that_each_micro_batch_is_a_bucket_of_lengths():
    made = sequences(LENGTHS)
    batches = micro_batches(made, max_tokens=64, pad_id=PAD)
    lengths = [len(made[i].token_ids) for batch in batches for i in batch.indices]
    assert lengths == sorted(lengths, reverse=True)


def test_rows_are_padded_on_the_right():
    made = sequences([2, 5])
    (batch,) = micro_batches(made, max_tokens=100, pad_id=PAD)
    for row, index in enumerate(batch.indices):
        sequence, width = made[index], batch.token_ids_BT.shape[1]
        pads = width - len(sequence.token_ids)
        assert batch.token_ids_BT[row].tolist() == [*sequence.token_ids, *[PAD] * pads]
        assert batch.mask_BT[row].tolist() == [*sequence.loss_mask, *[0] * pads]
        assert batch.advantages_B1[row].item() == sequence.advantage
        expected = torch.tensor([*sequence.sampling_logprobs, *[0.0] * pads])
        torch.testing.assert_close(batch.sampling_logprobs_BT[row], expected)


def test_demonstrations_have_neither_advantages_nor_sampler_logprobs():
    (batch,) = micro_batches(sequences([2, 5], demonstration=True), max_tokens=100, pad_id=PAD)
    assert batch.advantages_B1 is None
    assert batch.sampling_logprobs_BT is None


def test_the_same_sequences_and_budget_give_the_same_split():
    made = sequences(LENGTHS)
    splits = [[b.indices for b in micro_batches(made, max_tokens=64, pad_id=PAD)] for _ in range(2)]
    assert splits[0] == splits[1]


def test_a_budget_smaller_than_a_sequence_is_refused_by_name():
    made = sequences([3, 40])
    with pytest.raises(
        ConfigError, match=r"budget of 30 tokens is smaller than a sequence of 4\d tokens \(question q1\)"
    ):
        micro_batches(made, max_tokens=30, pad_id=PAD)


def test_nothing_makes_no_micro_batches():
    assert micro_batches([], max_tokens=30, pad_id=PAD) == []
