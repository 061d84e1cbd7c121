"""Attention on a CPU over a pack of spans: each sees itself and the tokens before it, which other spans may see too.

Sequence by sequence and in blocks of queries, so that hardly anything is computed that the causal mask would throw
away. The library's own kernel takes half as long again on short sequences, and cannot read a prefix that lies
elsewhere.

Shapes: P tokens packed, K key-value heads, D head width, R = G * P rows: for each token the G query heads that read the
same key-value head. Of a block: B rows of queries, L keys that they may see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relift.learning.branches import Span

BLOCK_TOKENS = 64
"""Of queries: of 48 to 192 the fastest for lengths near 100."""
KEPT_KEYS = 1024
"""Up to so many keys the attention weights are kept for the backward pass, else they are computed again: kept, they
would grow with the square of the length."""


def attend(
    query_1HPD: Tensor, key_1KPD: Tensor, value_1KPD: Tensor, spans: Sequence[Span], scale: float, window: int | None
) -> Tensor:
    """(1, P, H, D), the output of each token of each span; all tokens must lie in spans.

    Values may have another width than queries and keys (DeepSeek's latent attention); the output has theirs. A token
    sees those of its span and of the span's prefix up to itself, with a ``window`` only the last so many.
    """
    _, heads, tokens, width = query_1HPD.shape
    key_heads = key_1KPD.shape[1]
    grouped = (key_heads, heads // key_heads, tokens, width)
    query_KRD = query_1HPD.reshape(grouped).transpose(1, 2).reshape(key_heads, -1, width)
    key_KPD, value_KPD = key_1KPD.squeeze(0).contiguous(), value_1KPD.squeeze(0).contiguous()
    output_KRD: Tensor = _Attention.apply(query_KRD, key_KPD, value_KPD, spans, scale, window)  # type: ignore[no-untyped-call]
    output_KPGD = output_KRD.view(key_heads, tokens, heads // key_heads, -1)
    return output_KPGD.transpose(0, 1).reshape(1, tokens, heads, -1)


class _Attention(torch.autograd.Function):
    """With weights p of the scores s = scale q k: dv = p' do, dp = do v', ds the softmax's gradient, dq, dk from ds."""

    @staticmethod
    def forward(
        ctx: Any,
        query_KRD: Tensor,
        key_KPD: Tensor,
        value_KPD: Tensor,
        spans: Sequence[Span],
        scale: float,
        window: int | None,
    ) -> Tensor:
        group = query_KRD.shape[1] // key_KPD.shape[1]
        output_KRD = query_KRD.new_empty(*query_KRD.shape[:2], value_KPD.shape[-1])
        kept = []
        most_keys = KEPT_KEYS if any(ctx.needs_input_grad) else 0
        for span in spans:
            key_KLD, value_KLD = _seen(key_KPD, span), _seen(value_KPD, span)
            for rows, first, seen in _blocks(span, group):
                weights_KBL = _weights(query_KRD[:, rows], key_KLD[:, :seen], first, group, scale, window)
                torch.bmm(weights_KBL, value_KLD[:, :seen], out=output_KRD[:, rows])
                if key_KLD.shape[1] <= most_keys:
                    kept.append(weights_KBL)
        ctx.save_for_backward(query_KRD, key_KPD, value_KPD, *kept)
        ctx.settings = spans, group, scale, window
        return output_KRD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_KRD: Tensor) -> tuple[Tensor | None, ...]:
        query_KRD, key_KPD, value_KPD, *kept = ctx.saved_tensors
        spans, group, scale, window = ctx.settings
        slope_KRD = slope_KRD.contiguous()
        query_slope_KRD = torch.empty_like(query_KRD)
        key_slope_KPD, value_slope_KPD = torch.zeros_like(key_KPD), torch.zeros_like(value_KPD)
        weights = iter(kept)
        for span in spans:
            key_KLD, value_KLD = _seen(key_KPD, span), _seen(value_KPD, span)
            key_slope_KLD, value_slope_KLD = torch.zeros_like(key_KLD), torch.zeros_like(value_KLD)
            for rows, first, seen in _blocks(span, group):
                query_KBD, slope_KBD = query_KRD[:, rows], slope_KRD[:, rows]
                if key_KLD.shape[1] <= KEPT_KEYS:
                    weights_KBL = next(weights)
                else:
                    weights_KBL = _weights(query_KBD, key_KLD[:, :seen], first, group, scale, window)
                value_slope_KLD[:, :seen].baddbmm_(weights_KBL.transpose(1, 2), slope_KBD)
                slope_KBL = torch.bmm(slope_KBD, value_KLD[:, :seen].transpose(1, 2))
                slope_KBL = torch._softmax_backward_data(slope_KBL, weights_KBL, -1, weights_KBL.dtype)
                _product(slope_KBL, key_KLD[:, :seen], scale, out=query_slope_KRD[:, rows])
                key_slope_KLD[:, :seen].baddbmm_(slope_KBL.transpose(1, 2), query_KBD, alpha=scale)
            _add_seen(key_slope_KPD, key_slope_KLD, span)
            _add_seen(value_slope_KPD, value_slope_KLD, span)
        return query_slope_KRD, key_slope_KPD, value_slope_KPD, None, None, None


def _blocks(span: Span, group: int) -> Iterator[tuple[slice, int, int]]:
    """Rows of a block's queries, the first token's position in the sequence, and the keys that its last one sees."""
    prefix = span.prefix_stop - span.prefix_start
    for start in range(span.start, span.stop, BLOCK_TOKENS):
        stop = min(start + BLOCK_TOKENS, span.stop)
        yield slice(start * group, stop * group), prefix + start - span.start, prefix + stop - span.start


def _seen(tensor_KPD: Tensor, span: Span) -> Tensor:
    own_KLD = tensor_KPD[:, span.start : span.stop]
    if span.prefix_start == span.prefix_stop:
        return own_KLD
    return torch.cat((tensor_KPD[:, span.prefix_start : span.prefix_stop], own_KLD), dim=1)


def _add_seen(total_KPD: Tensor, part_KLD: Tensor, span: Span) -> None:
    prefix = span.prefix_stop - span.prefix_start
    total_KPD[:, span.start : span.stop] += part_KLD[:, prefix:]
    if prefix:
        total_KPD[:, span.prefix_start : span.prefix_stop] += part_KLD[:, :prefix]


def _weights(query_KBD: Tensor, key_KLD: Tensor, first: int, group: int, scale: float, window: int | None) -> Tensor:
    """(K, B, L) softmax of the scores, in float32 at least, of tokens from position ``first`` of their sequence on."""
    score_KBL = _product(query_KBD, key_KLD.transpose(1, 2), scale)
    later = score_KBL[:, :, first:]  # all tokens before the block are seen by all of it
    later += _later_tokens(group, score_KBL.dtype)[: later.shape[1], : later.shape[2]]
    if window is not None and key_KLD.shape[1] > window:
        token_B1 = first + torch.arange(query_KBD.shape[1]).unsqueeze(1) // group
        score_KBL.masked_fill_(torch.arange(key_KLD.shape[1]) <= token_B1 - window, -torch.inf)
    sums_in = torch.promote_types(score_KBL.dtype, torch.float32)
    return torch.softmax(score_KBL, dim=-1, dtype=sums_in).to(score_KBL.dtype)


def _product(left: Tensor, right: Tensor, scale: float, out: Tensor | None = None) -> Tensor:
    """Matrix products times ``scale``; the first argument is ignored, since ``beta`` is 0."""
    return torch.baddbmm(left.new_empty(1, 1, 1), left, right, beta=0, alpha=scale, out=out)


@cache
def _later_tokens(group: int, dtype: torch.dtype) -> Tensor:
    """Minus infinity where a key of a block comes after the token of the row, else 0."""
    square = torch.full((BLOCK_TOKENS, BLOCK_TOKENS), -torch.inf, dtype=dtype).triu(1)
    return square.repeat_interleave(group, dim=0)
