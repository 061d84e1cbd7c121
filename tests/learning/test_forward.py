import pytest
import torch
from learning_helpers import PAD, VOCABULARY, plain_logprobs, sequences, tiny_model

from relift.learning import Entropy, micro_batches, token_logprobs

LENGTHS = [3, 40, 1, 17]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_and_entropy_equal_those_of_each_sequence_alone_with_all_logits(temperature):
    model, made = tiny_model(), sequences(LENGTHS)
    (batch,) = micro_batches(made, max_tokens=1000, pad_id=PAD)
    logprobs_BT, entropy_BT = token_logprobs(
        model, batch, temperature=temperature, vocabulary=VOCABULARY, entropy=Entropy.VALUE
    )
    for row, index in enumerate(batch.indices):
        expected, entropy = plain_logprobs(model, made[index], temperature)
        in_loss = batch.mask_BT[row].bool()
        torch.testing.assert_close(logprobs_BT[row][in_loss].double(), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(entropy_BT[row][in_loss].double(), entropy, rtol=1e-5, atol=1e-6)
        assert logprobs_BT[row][~in_loss].eq(0).all()
        assert entropy_BT[row][~in_loss].eq(0).all()


def test_padding_of_the_vocabulary_holds_no_mass():
    model = tiny_model()
    (batch,) = micro_batches(sequences(LENGTHS), max_tokens=1000, pad_id=PAD)
    before, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=VOCABULARY)
    with torch.no_grad():
        model.get_output_embeddings().weight[VOCABULARY:] *= 50
    after, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=VOCABULARY)
    assert torch.equal(before, after)
    everything, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=24)
    assert not torch.allclose(before, everything)


def test_the_tokens_in_the_pads_do_not_matter():
    model = tiny_model()
    made = sequences(LENGTHS)
    results = [
        token_logprobs(
            model, *micro_batches(made, max_tokens=1000, pad_id=pad), temperature=1.0, vocabulary=VOCABULARY
        )[0]
        for pad in (0, 7)
    ]
    assert torch.equal(*results)


def test_entropy_carries_a_gradient_only_where_the_loss_asks_for_it():
    model = tiny_model()
    (batch,) = micro_batches(sequences(LENGTHS), max_tokens=1000, pad_id=PAD)

    def entropy(kind):
        return token_logprobs(model, batch, temperature=1.0, vocabulary=VOCABULARY, entropy=kind)[1]

    assert entropy(Entropy.NONE) is None
    assert not entropy(Entropy.VALUE).requires_grad
    assert entropy(Entropy.GRADIENT).requires_grad
    assert torch.equal(entropy(Entropy.VALUE), entropy(Entropy.GRADIENT).detach())
