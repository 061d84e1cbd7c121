"""Attention over spans against one dense matrix of scores."""

import weakref

import pytest
import torch

from relift.learning import spans as under_test
from relift.learning.branches import Span
from relift.learning.spans import attend

LENGTHS = {"short": (3, 5, 1, 4), "longer than a block": (70, 150, 1, 65)}


def layout(prompt, first, second, alone):
    """A prompt, two branches of it, and a sequence for itself."""
    ends = torch.tensor([prompt, first, second, alone]).cumsum(0).tolist()
    return [
        Span(start=0, stop=ends[0]),
        Span(start=ends[0], stop=ends[1], prefix_start=0, prefix_stop=prompt),
        Span(start=ends[1], stop=ends[2], prefix_start=0, prefix_stop=prompt),
        Span(start=ends[2], stop=ends[3]),
    ]


def drawn(tokens, *, heads=4, key_heads=2, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    made = [
        torch.randn(1, tokens, count, 8, generator=draw, dtype=torch.float64) for count in (heads, key_heads, key_heads)
    ]
    return [tensor.to(dtype).transpose(1, 2).requires_grad_() for tensor in made]


def densely(tensors, spans, window):
    query, key, value = (tensor.double() for tensor in tensors)
    tokens = query.shape[2]
    position, sees = torch.zeros(tokens, dtype=torch.int64), torch.zeros(tokens, tokens, dtype=torch.bool)
    for span in spans:
        before = [*range(span.prefix_start, span.prefix_stop)]
        own = [*range(span.start, span.stop)]
        position[own] = torch.arange(len(own)) + len(before)
        for index, token in enumerate(own):
            sees[token, before + own[: index + 1]] = True
    if window is not None:
        sees &= position > position[:, None] - window
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    scores = (0.3 * query @ key.transpose(2, 3)).masked_fill(~sees, -torch.inf)
    return (scores.softmax(dim=-1) @ value).transpose(1, 2)


def require_equal(tensors, spans, window, **tolerance):
    got, expected = attend(*tensors, spans, 0.3, window), densely(tensors, spans, window)
    torch.testing.assert_close(got.double(), expected, **tolerance)
    slope = torch.linspace(-1, 1, got.numel(), dtype=torch.float64).view(got.shape)
    found = torch.autograd.grad((got.double() * slope).sum(), tensors)
    for a, b in zip(found, torch.autograd.grad((expected * slope).sum(), tensors), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("window", [None, 1, 6, 100])
def test_branches_see_their_prompt_and_themselves(lengths, key_heads, window):
    spans = layout(*LENGTHS[lengths])
    require_equal(drawn(spans[-1].stop, key_heads=key_heads), spans, window, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("width", [3, 13])
def test_values_may_be_narrower_or_wider_than_queries(width):
    spans = layout(*LENGTHS["longer than a block"])
    query, key, value = drawn(spans[-1].stop)
    value = torch.cat((value, value.flip(3)), dim=3)[..., :width].detach().requires_grad_()
    require_equal([query, key, value], spans, None, rtol=1e-10, atol=1e-10)


def test_weights_that_are_not_kept_are_the_same_again(monkeypatch):
    spans = layout(*LENGTHS["longer than a block"])
    monkeypatch.setattr(under_test, "KEPT_KEYS", 100)
    require_equal(drawn(spans[-1].stop), spans, None, rtol=1e-10, atol=1e-10)


def test_half_precision_stays_near():
    spans = layout(*LENGTHS["short"])
    require_equal(drawn(spans[-1].stop, dtype=torch.bfloat16), spans, None, rtol=0.05, atol=0.05)


def test_what_a_backward_pass_keeps_is_linear_in_the_length_of_a_long_sequence(monkeypatch):
    kept = []
    for keys in (1024, 100):
        monkeypatch.setattr(under_test, "KEPT_KEYS", keys)
        tensors = drawn(400)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            attend(*tensors, [Span(start=0, stop=400)], 0.3, None)
        kept.append("|")
    first, second = kept[: kept.index("|")], kept[kept.index("|") + 1 : -1]
    assert sum(first) > 4 * 400 * 400 / 2, "the weights of four heads"
    assert max(second) <= 4 * 400 * 8, "queries"


@pytest.mark.parametrize(("with_gradient", "most"), [(True, 7), (False, 2)])
def test_weights_are_kept_for_a_backward_pass_alone(with_gradient, most, monkeypatch):
    alive, counts, weights = weakref.WeakSet(), [], under_test._weights

    def counted(*arguments):
        made = weights(*arguments)
        alive.add(made)
        counts.append(len(alive))
        return made

    monkeypatch.setattr(under_test, "_weights", counted)
    tensors = [tensor.detach().requires_grad_(with_gradient) for tensor in drawn(400)]
    attend(*tensors, [Span(start=0, stop=400)], 0.3, None)
    assert max(counts) == most, "of seven blocks"
