"""Log-probabilities of given tokens and entropies out of hidden states, never holding all logits at once.

Shapes: C tokens in the loss, V vocabulary, D hidden width, K tokens of a chunk.

A GPU kernel that fuses the head with the loss (Liger, Cut Cross-Entropy) would take the place of
``logprobs_and_entropy`` here, behind the same signature.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

CPU_BUFFER_BYTES = 1 << 28
GPU_BUFFER_BYTES = 1 << 31
"""Of one (K, V) buffer in float32. On a GPU larger: each chunk reads and writes the gradient of the whole head."""


class Entropy(StrEnum):
    """What to compute of the entropy: nothing, a figure to report, or a term of the loss."""

    NONE = "none"
    VALUE = "value"
    GRADIENT = "gradient"


def chunk_tokens_for(vocabulary: int, free_bytes: int, *, on_gpu: bool = False) -> int:
    """Tokens whose logits are held at once: a power of two from 64 to 65,536.

    One float32 buffer of that many rows takes at most an eighth of the free memory (two to three are alive together)
    and at most ``CPU_BUFFER_BYTES`` or ``GPU_BUFFER_BYTES``; but never fewer than 64 rows.
    """
    buffer_bytes = min(free_bytes // 8, GPU_BUFFER_BYTES if on_gpu else CPU_BUFFER_BYTES)
    rows = buffer_bytes // (4 * vocabulary)
    return min(max(1 << max(rows.bit_length() - 1, 0), 64), 65536)


def logprobs_and_entropy(
    hidden_CD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    targets: Tensor,
    *,
    temperature: float,
    vocabulary: int,
    chunk_tokens: int,
    entropy: Entropy = Entropy.NONE,
) -> tuple[Tensor, Tensor | None]:
    """(C,) log-probability of each target in nats, and the (C,) entropy it was drawn at, None where not asked for.

    With N (C, N) ``targets`` for each token the first is (C, N).
    Both come from the first ``vocabulary`` logits ``hidden @ weight.T + bias`` divided by ``temperature``, in float32
    (float64 for float64 states). Under autocast the products are taken in its type, all else stays float32.

    At most ``chunk_tokens`` rows of logits exist at a time, in the backward pass too, where they are computed again;
    where all rows fit one chunk their log-probabilities are kept instead. The chunk changes rounding alone. Gradients
    reach ``hidden_CD``, ``weight_VD`` and ``bias_V``; the entropy has one for ``Entropy.GRADIENT`` alone.
    """
    product_type = _product_type(hidden_CD, weight_VD)
    targets_CN = targets.unsqueeze(1) if targets.dim() == 1 else targets
    logprobs_CN, entropy_C = _Head.apply(  # type: ignore[no-untyped-call]
        hidden_CD, weight_VD, bias_V, targets_CN, temperature, vocabulary, chunk_tokens, entropy, product_type
    )
    return logprobs_CN.squeeze(1) if targets.dim() == 1 else logprobs_CN, entropy_C


@torch.no_grad()
def most_likely(
    hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, *, count: int, vocabulary: int, chunk_tokens: int
) -> tuple[Tensor, Tensor]:
    """(C, N) log-probabilities in nats of the ``count`` likeliest tokens, or of all where there are fewer, likeliest
    first, and their (C, N) ids; at temperature 1, of the same softmax and in the same chunks as above."""
    product_type = _product_type(hidden_CD, weight_VD)
    head = _Linear(weight_VD, bias_V, vocabulary, product_type)
    logprobs_CN = hidden_CD.new_empty(len(hidden_CD), min(count, vocabulary), dtype=_sums_in(hidden_CD))
    ids_CN = torch.empty_like(logprobs_CN, dtype=torch.int64)
    work = _buffers(logprobs_CN, chunk_tokens, vocabulary)
    for rows in _chunks(len(hidden_CD), chunk_tokens):
        _, logprobs_KV = head.log_softmax(hidden_CD[rows], 1.0, *work)
        logprobs_CN[rows], ids_CN[rows] = logprobs_KV.topk(logprobs_CN.shape[1], dim=1)
    return logprobs_CN, ids_CN


def _product_type(hidden_CD: Tensor, weight_VD: Tensor) -> torch.dtype:
    device = hidden_CD.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VD.dtype


class _Head(torch.autograd.Function):
    """The logits' gradient, 1/T times (with p the softmax, H the entropy, t the target, g and h their gradients):

    g (1[v = t] - p_v) - h p_v (log p_v + H), the first summed over the targets of a token

    All chunks are worked on in the same two (K, V) buffers: fresh memory costs more than what is computed in it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_CD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_CN: Tensor,
        temperature: float,
        vocabulary: int,
        chunk_tokens: int,
        entropy: Entropy,
        product_type: torch.dtype,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.settings = temperature, vocabulary, chunk_tokens, product_type
        ctx.set_materialize_grads(False)
        head = _Linear(weight_VD, bias_V, vocabulary, product_type)
        logprobs_CN = hidden_CD.new_empty(targets_CN.shape, dtype=_sums_in(hidden_CD))
        entropy_C = None if entropy is Entropy.NONE else logprobs_CN.new_empty(len(hidden_CD))
        work = _buffers(logprobs_CN, chunk_tokens, vocabulary)
        for rows in _chunks(len(hidden_CD), chunk_tokens):
            scratch_KV, logprobs_KV = head.log_softmax(hidden_CD[rows], temperature, *work)
            logprobs_CN[rows] = logprobs_KV.gather(1, targets_CN[rows])
            if entropy_C is not None:
                entropy_C[rows] = -torch.exp(logprobs_KV, out=scratch_KV).mul_(logprobs_KV).sum(dim=1)
        if entropy is Entropy.VALUE:
            ctx.mark_non_differentiable(entropy_C)
        kept_KV = work[1] if len(hidden_CD) <= chunk_tokens else None
        ctx.save_for_backward(hidden_CD, weight_VD, bias_V, targets_CN, entropy_C, kept_KV)
        return logprobs_CN, entropy_C

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_CN: Tensor | None, h_C: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden_CD, weight_VD, bias_V, targets_CN, entropy_C, kept_KV = ctx.saved_tensors
        temperature, vocabulary, chunk_tokens, product_type = ctx.settings
        head = _Linear(weight_VD, bias_V, vocabulary, product_type)
        if g_CN is None:
            g_CN = hidden_CD.new_zeros(targets_CN.shape, dtype=_sums_in(hidden_CD))
        g_CN = g_CN / temperature
        g_C = g_CN.sum(dim=1)
        h_C = None if h_C is None else h_C / temperature
        rest_C = None if h_C is None else h_C * entropy_C + g_C
        hidden_gradient_CD = torch.empty_like(hidden_CD) if ctx.needs_input_grad[0] else None
        weight_gradient_VD = torch.zeros_like(weight_VD, dtype=g_C.dtype) if ctx.needs_input_grad[1] else None
        bias_gradient_V = torch.zeros_like(bias_V, dtype=g_C.dtype) if ctx.needs_input_grad[2] else None
        work = _buffers(g_C, chunk_tokens, vocabulary)
        for rows in _chunks(len(hidden_CD), chunk_tokens):
            hidden_KD = hidden_CD[rows]
            if kept_KV is None:
                slope_KV, logprobs_KV = head.log_softmax(hidden_KD, temperature, *work)
                scratch_KV = logprobs_KV
            else:
                (slope_KV, scratch_KV), logprobs_KV = work, kept_KV
            torch.exp(logprobs_KV, out=slope_KV)
            if h_C is None or rest_C is None:
                slope_KV.mul_(-g_C[rows].unsqueeze(1))
            else:  # -p (h log p + h H + g)
                h_K1, rest_K1 = h_C[rows].unsqueeze(1), rest_C[rows].unsqueeze(1)
                slope_KV.mul_(torch.addcmul(-rest_K1, logprobs_KV, -h_K1, out=scratch_KV))
            slope_KV.scatter_add_(1, targets_CN[rows], g_CN[rows])
            if bias_gradient_V is not None:
                bias_gradient_V[:vocabulary] += slope_KV.sum(dim=0)
            slope_KV = slope_KV.to(product_type)
            if hidden_gradient_CD is not None:
                hidden_gradient_CD[rows] = slope_KV @ head.weight_VD
            if weight_gradient_VD is not None:
                _add_product(weight_gradient_VD[:vocabulary], slope_KV.T, hidden_KD.to(product_type))
        if weight_gradient_VD is not None:
            weight_gradient_VD = weight_gradient_VD.to(weight_VD.dtype)
        if bias_gradient_V is not None:
            bias_gradient_V = bias_gradient_V.to(bias_V.dtype)
        return hidden_gradient_CD, weight_gradient_VD, bias_gradient_V, *[None] * 6


class _Linear:
    """The head cut to the vocabulary, in the type that products are taken in."""

    def __init__(self, weight_VD: Tensor, bias_V: Tensor | None, vocabulary: int, product_type: torch.dtype) -> None:
        self.weight_VD = weight_VD[:vocabulary].to(product_type)
        self.bias_V = None if bias_V is None else bias_V[:vocabulary].to(product_type)

    def log_softmax(
        self, hidden_KD: Tensor, temperature: float, scratch_KV: Tensor, logprobs_KV: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The two buffers, cut to the chunk, the second with its log-probabilities."""
        scratch_KV, logprobs_KV = scratch_KV[: len(hidden_KD)], logprobs_KV[: len(hidden_KD)]
        hidden_KD = hidden_KD.to(self.weight_VD.dtype)
        if self.bias_V is None and hidden_KD.dtype == scratch_KV.dtype:
            torch.mm(hidden_KD, self.weight_VD.T, out=scratch_KV)
        else:
            scratch_KV.copy_(linear(hidden_KD, self.weight_VD, self.bias_V))
        if temperature != 1.0:
            scratch_KV.div_(temperature)
        return scratch_KV, torch.log_softmax(scratch_KV, dim=1, out=logprobs_KV)


def _add_product(total_VD: Tensor, left_VK: Tensor, right_KD: Tensor) -> None:
    """In place; a product of a half-precision type is still summed over the chunks in the type of the total."""
    if total_VD.dtype == left_VK.dtype:
        total_VD.addmm_(left_VK, right_KD)
    else:
        total_VD += left_VK @ right_KD


def _sums_in(hidden_CD: Tensor) -> torch.dtype:
    return torch.float64 if hidden_CD.dtype == torch.float64 else torch.float32


def _buffers(values_C: Tensor, chunk_tokens: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    rows = min(len(values_C), chunk_tokens)
    return values_C.new_empty(rows, vocabulary), values_C.new_empty(rows, vocabulary)


def _chunks(count: int, chunk_tokens: int) -> list[slice]:
    return [slice(start, min(start + chunk_tokens, count)) for start in range(0, count, chunk_tokens)]
