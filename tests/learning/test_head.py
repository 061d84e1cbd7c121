import math

import pytest
import torch
from learning_helpers import LargestTensor, relative_error

from relift.learning.head import Entropy, chunk_tokens_for, logprobs_and_entropy, most_likely

TOKENS, VOCABULARY, PADDED, WIDTH = 13, 11, 16, 6


def inputs(*, bias=False, dtype=torch.float64, seed=0):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=draw, dtype=torch.float64)
    weight = torch.randn(PADDED, WIDTH, generator=draw, dtype=torch.float64)
    made = [hidden, weight, torch.randn(PADDED, generator=draw, dtype=torch.float64) if bias else None]
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=draw)
    return [None if t is None else t.to(dtype).requires_grad_() for t in made], targets


def compute(tensors, targets, *, temperature=1.0, chunk=100, entropy=Entropy.GRADIENT):
    return logprobs_and_entropy(
        *tensors, targets, temperature=temperature, vocabulary=VOCABULARY, chunk_tokens=chunk, entropy=entropy
    )


def plainly(tensors, targets, temperature=1.0):
    hidden, weight, bias = tensors
    logits = hidden @ weight[:VOCABULARY].T + (0 if bias is None else bias[:VOCABULARY])
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    return logprobs.gather(1, targets[:, None])[:, 0], -(logprobs.exp() * logprobs).sum(dim=-1)


def weighted(logprobs, entropy):
    """A loss in which every token has another weight."""
    ramp = torch.linspace(-1, 2, len(logprobs), dtype=logprobs.dtype)
    return (ramp * logprobs).sum() + (ramp.flip(0) * entropy).sum()


def gradients(loss, tensors):
    return dict(enumerate(torch.autograd.grad(loss, [t for t in tensors if t is not None])))


# ---------------------------------------------------------------- values


def test_logprobs_and_entropy_worked_by_hand():
    hidden = torch.tensor([[1.0], [0.0]])
    weight = torch.tensor([[math.log(2.0)], [math.log(6.0)], [100.0]])  # the last is padding
    logprobs, entropy = logprobs_and_entropy(
        hidden, weight, None, torch.tensor([0, 1]), temperature=1.0, vocabulary=2, chunk_tokens=8, entropy=Entropy.VALUE
    )
    # Odds 2 to 6, then even: log 1/4 and log 1/2; entropies ln 4 - 3/4 ln 3 and ln 2.
    torch.testing.assert_close(logprobs, torch.tensor([math.log(0.25), math.log(0.5)]))
    torch.testing.assert_close(entropy, torch.tensor([math.log(4) - 0.75 * math.log(3), math.log(2)]))


def test_temperature_divides_the_logits():
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(9.0)]])
    logprobs, _ = logprobs_and_entropy(
        hidden, weight, None, torch.tensor([1]), temperature=2.0, vocabulary=2, chunk_tokens=8
    )
    torch.testing.assert_close(logprobs, torch.tensor([math.log(0.75)]))  # odds 1 to 9 become 1 to 3


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("chunk", [1, 5, 100])
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_finite_differences(chunk, bias):
    tensors, targets = inputs(bias=bias)

    def both(*given):
        return compute([*given, *[None] * (3 - len(given))], targets, temperature=0.7, chunk=chunk)

    assert torch.autograd.gradcheck(both, [t for t in tensors if t is not None])


@pytest.mark.parametrize("entropy", list(Entropy))
@pytest.mark.parametrize("chunk", [1, 5, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_are_those_of_all_logits_at_once(entropy, chunk, temperature):
    tensors, targets = inputs(bias=True)
    logprobs, entropies = compute(tensors, targets, temperature=temperature, chunk=chunk, entropy=entropy)
    expected, expected_entropies = plainly(tensors, targets, temperature)
    torch.testing.assert_close(logprobs, expected)
    assert (entropies is None) == (entropy is Entropy.NONE)
    if entropies is None:
        entropies = expected_entropies.detach()
    torch.testing.assert_close(entropies, expected_entropies)
    if entropy is not Entropy.GRADIENT:
        assert not entropies.requires_grad
        expected_entropies = expected_entropies.detach()
    got = gradients(weighted(logprobs, entropies), tensors)
    assert relative_error(got, gradients(weighted(expected, expected_entropies), tensors)) < 1e-14


def test_a_loss_of_the_entropy_alone_has_a_gradient():
    tensors, targets = inputs()
    got = gradients(compute(tensors, targets)[1].sum(), tensors)
    assert relative_error(got, gradients(plainly(tensors, targets)[1].sum(), tensors)) < 1e-14


def test_the_chunk_changes_rounding_alone():
    tensors, targets = inputs(bias=True, dtype=torch.float32)
    whole = gradients(weighted(*compute(tensors, targets)), tensors)
    for chunk in (1, 5, 13):
        got = gradients(weighted(*compute(tensors, targets, chunk=chunk)), tensors)
        assert relative_error(got, whole) < 1e-6


def test_a_second_backward_pass_gives_the_same_gradient():
    tensors, targets = inputs()
    for chunk in (5, 100):
        loss = weighted(*compute(tensors, targets, chunk=chunk))
        first, second = (torch.autograd.grad(loss, tensors[:2], retain_graph=True) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            assert torch.equal(a, b)


def test_a_frozen_head_gets_no_gradient_and_changes_none():
    tensors, targets = inputs()
    expected = gradients(weighted(*compute(tensors, targets)), tensors)[0]
    frozen = [tensors[0], tensors[1].detach(), None]
    loss = weighted(*compute(frozen, targets))
    torch.testing.assert_close(torch.autograd.grad(loss, tensors[0])[0], expected)


def test_padding_of_the_vocabulary_gets_no_gradient():
    tensors, targets = inputs(bias=True)
    _, weight, bias = gradients(weighted(*compute(tensors, targets, chunk=5)), tensors).values()
    assert weight[VOCABULARY:].eq(0).all()
    assert bias[VOCABULARY:].eq(0).all()
    assert weight[:VOCABULARY].ne(0).all()


def test_no_tokens_have_a_gradient_of_zero():
    tensors, _ = inputs()
    logprobs, entropy = compute([tensors[0][:0], tensors[1], None], torch.zeros(0, dtype=torch.int64))
    assert logprobs.shape == entropy.shape == (0,)
    (logprobs.sum() + entropy.sum()).backward()
    assert tensors[1].grad.eq(0).all()


# ---------------------------------------------------------------- precision and memory


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_under_autocast_products_are_bfloat16_and_the_rest_float32(chunk):
    tensors, targets = inputs(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logprobs, entropy = compute(tensors, targets, chunk=chunk)
        got = gradients(weighted(logprobs, entropy), tensors)  # an update's backward pass runs under autocast too
        expected = torch.nn.functional.linear(tensors[0], tensors[1][:VOCABULARY]).float()
    assert logprobs.dtype == entropy.dtype == got[0].dtype == got[1].dtype == torch.float32
    expected = torch.log_softmax(expected, dim=-1).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(logprobs, expected, rtol=1e-6, atol=1e-6)
    error = relative_error(got, gradients(weighted(*plainly(tensors, targets)), tensors))
    assert 1e-4 < error < 0.02, "bfloat16 has 8 bits"


@pytest.mark.parametrize("chunk", [4, 20])
def test_only_a_chunk_of_the_logits_exists_at_any_time(chunk):
    hidden = torch.randn(200, 2, requires_grad=True)
    weight = torch.randn(300, 2, requires_grad=True)
    with LargestTensor() as seen:
        logprobs, entropy = logprobs_and_entropy(
            hidden,
            weight,
            None,
            torch.arange(200),
            temperature=1.0,
            vocabulary=300,
            chunk_tokens=chunk,
            entropy=Entropy.GRADIENT,
        )
        (logprobs.sum() + entropy.sum()).backward()
    assert seen.largest == chunk * 300


@pytest.mark.parametrize(
    ("vocabulary", "free_bytes", "on_gpu", "expected"),
    [
        (512, 64 << 30, False, 65536),  # 256 MiB hold 131,072 rows
        (151_936, 64 << 30, False, 256),  # 256 MiB hold 441 rows
        (151_936, 1 << 30, False, 128),  # an eighth holds 220 rows
        (151_936, 1 << 20, False, 64),  # never fewer
        (151_936, 64 << 30, True, 2048),  # 2 GiB hold 3,533 rows
    ],
)
def test_the_chunk_follows_from_the_free_memory(vocabulary, free_bytes, on_gpu, expected):
    assert chunk_tokens_for(vocabulary, free_bytes, on_gpu=on_gpu) == expected


# ---------------------------------------------------------------- several tokens


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_several_targets_of_a_token_have_the_values_and_gradients_of_each_alone(chunk):
    tensors, first = inputs(bias=True)
    targets = torch.stack([first, (first + 1) % VOCABULARY, (first + 4) % VOCABULARY], dim=1)
    together, _ = compute(tensors, targets, chunk=chunk, temperature=0.7, entropy=Entropy.NONE)
    alone = [plainly(tensors, targets[:, column], 0.7)[0] for column in range(3)]
    torch.testing.assert_close(together, torch.stack(alone, dim=1))
    ramp = torch.linspace(-1, 2, together.numel(), dtype=together.dtype).reshape(together.shape)
    got, want = (gradients((ramp * found).sum(), tensors) for found in (together, torch.stack(alone, dim=1)))
    assert relative_error(got, want) < 1e-12


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_the_likeliest_tokens_are_those_of_the_whole_softmax_and_no_padding_is_among_them(chunk):
    (hidden, weight, bias), _ = inputs(bias=True)
    found = most_likely(hidden, weight, bias, count=4, vocabulary=VOCABULARY, chunk_tokens=chunk)
    logits = hidden @ weight[:VOCABULARY].T + bias[:VOCABULARY]
    for got, want in zip(found, torch.log_softmax(logits, dim=-1).topk(4), strict=True):
        torch.testing.assert_close(got, want.detach())
    assert most_likely(hidden, weight, bias, count=20, vocabulary=5, chunk_tokens=chunk)[1].shape == (TOKENS, 5)
