"""Attention over packed sequences, each of which sees itself alone and the prompt that it may share with others.

    model(packed=Packing) --transformers hands it to each layer--> packed_attention
        CPU                   span by span, in blocks: no pads; the one that can read shared prompts
        GPU, half precision   variable-length flash attention
        GPU, else             FlexAttention, compiled, with a block mask
    model(...) without it     scaled_dot_product_attention, as before; the engine's mask, which is the same for all
                              layers, is cut to the window of those that have one

Shapes: P tokens packed, S sequences, H query heads, K key-value heads, D head width. Of one that is not packed: B
sequences, Q tokens that ask, T that are there, the last Q of them those that ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from relift.errors import ModelError
from relift.learning.packing import Packing
from relift.learning.spans import attend

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "relift_packed"
"""Of the attention function in the library's registry."""
# What some models hand to their attention beside the usual, each changing the result; we do not compute them.
REFUSED = ("softcap", "s_aux", "position_bias", "indices", "block_indices")
WAY_OUT = "Use a model with plain causal attention (Qwen2, Qwen3, Llama, Mistral, Gemma 3, ...: docs/models.md)."
WINDOW = "relift_window"
"""Attribute of a mask that the library makes for us: how far back it lets a token look; None for no limit."""
_in_packed_forward: ContextVar[bool] = ContextVar("in_packed_forward", default=False)


def packed_hidden_states(model: PreTrainedModel, token_ids_P: Tensor, positions_P: Tensor, packing: Packing) -> Tensor:
    """(P, D) final hidden states, equal to those of each sequence alone but for rounding.

    Raises ModelError when the model cannot take the attention above.
    """
    use_packed_attention(model)
    with _packed_forward():
        output = model.base_model(
            input_ids=token_ids_P.unsqueeze(0),
            position_ids=positions_P.unsqueeze(0),
            use_cache=False,
            packed=packing,
        )
    hidden_PD: Tensor = output.last_hidden_state.squeeze(0)
    return hidden_PD


def use_packed_attention(model: PreTrainedModel) -> None:
    """Let the model attend through ``packed_attention`` from now on; nothing to do the second time.

    It stays so, because recomputing a layer in a backward pass must meet the attention of its forward pass. Calls
    without a packing (sampling) take the very path they took before, but that windows are kept to whoever made the
    mask. Raises ModelError for a model whose attention is not plain.
    """
    if model.config._attn_implementation == NAME:
        return
    kind = model.config.model_type
    require_known_layers(model.config)
    if not model.is_backend_compatible():
        raise _cannot_pack(kind, "its code does not take an attention function from outside")
    if model.config._attn_implementation != "sdpa":
        raise _cannot_pack(
            kind, f"its attention is {model.config._attn_implementation!r}, where ours stands in for 'sdpa' alone"
        )
    _register()
    model.set_attn_implementation(NAME)
    if model.config._attn_implementation != NAME:
        raise _cannot_pack(kind, "the library does not let its attention be replaced")


def require_known_layers(config: Any) -> None:
    """Raises ModelError for a model with layers of a kind that is not computed here; looks at settings alone."""
    layers = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if layers:
        raise _cannot_pack(config.model_type, f"it has layers of the kind {', '.join(sorted(layers))}")


def packed_attention(
    module: torch.nn.Module,
    query_1HPD: Tensor,
    key_1KPD: Tensor,
    value_1KPD: Tensor,
    attention_mask: Any,
    *,
    packed: Packing | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """(1, P, H, D) in the form in which the library calls such functions. Raises ModelError."""
    _refuse_extras(module, dropout, others)
    if packed is None:
        if _in_packed_forward.get():
            raise _cannot_pack(type(module).__name__, "it does not hand on to its attention what the model was given")
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        _require_window(module, attention_mask, sliding_window)
        if sliding_window is not None:
            key_1KPD, value_1KPD, attention_mask = _within_window(
                query_1HPD.shape[2], key_1KPD, value_1KPD, attention_mask, sliding_window
            )
        if query_1HPD.shape[2] == 1 and not query_1HPD.is_cuda:
            return _one_token(query_1HPD, key_1KPD, value_1KPD, attention_mask, scaling), None
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query_1HPD, key_1KPD, value_1KPD, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return result
    window = None if sliding_window is None or sliding_window >= packed.longest else sliding_window
    function = _by_span
    if query_1HPD.is_cuda:
        half = _product_type(query_1HPD, value_1KPD) in (torch.bfloat16, torch.float16)
        function = _variable_length if half else _flex
    return function(query_1HPD, key_1KPD, value_1KPD, packed, scaling, window), None


def _one_token(
    query_BH1D: Tensor, key_BKTD: Tensor, value_BKTD: Tensor, mask: Tensor | None, scaling: float | None
) -> Tensor:
    """(B, 1, H, D) of the newest token of each row, on a CPU: the library's bits, at a thirtieth of its time.

    It copies keys and values for every query head where they are grouped. Products of one token are bound by memory, so
    half precision makes them slower: they are taken in float32 under autocast too.
    """
    with torch.autocast("cpu", enabled=False):
        kind = torch.promote_types(key_BKTD.dtype, query_BH1D.dtype)
        query_BH1D, key_BKTD, value_BKTD = (t.to(kind) for t in (query_BH1D, key_BKTD, value_BKTD))
        output_BH1D = torch.nn.functional.scaled_dot_product_attention(
            query_BH1D, key_BKTD, value_BKTD, attn_mask=mask, scale=scaling, enable_gqa=True
        )
    return output_BH1D.transpose(1, 2).contiguous()


def _within_window(
    asking: int, key_BKTD: Tensor, value_BKTD: Tensor, mask_B1QT: Tensor | None, window: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys, values and mask as a layer sees them whose tokens look back at ``window`` tokens, themselves included.

    Columns stand for positions: rows are padded on their left, so whatever lies between two real tokens of one is real.
    Without a mask nothing is beyond the window, as the library leaves it out for that reason alone.
    """
    there = key_BKTD.shape[2]
    if mask_B1QT is None or there <= window:
        return key_BKTD, value_BKTD, mask_B1QT
    if asking == 1:
        return key_BKTD[:, :, -window:], value_BKTD[:, :, -window:], mask_B1QT[..., -window:]
    position_T = torch.arange(there, device=key_BKTD.device)
    return key_BKTD, value_BKTD, mask_B1QT & (position_T > position_T[-asking:, None] - window)


def _require_window(module: torch.nn.Module, mask: Tensor | None, window: int | None) -> None:
    """Raises ModelError when a mask of the library's keeps to another window than the layer says it has.

    We go by what the layer says; the engine's own masks know no window.
    """
    masked = getattr(mask, WINDOW, window)
    if masked != window:
        raise _cannot_pack(
            type(module).__name__,
            f"its mask is cut to {masked or 'no'} tokens, but its attention is told of {window or 'no window'}",
        )


def _by_span(
    query_1HPD: Tensor, key_1KPD: Tensor, value_1KPD: Tensor, packed: Packing, scaling: float | None, window: int | None
) -> Tensor:
    kind = _product_type(query_1HPD, value_1KPD)
    query_1HPD, key_1KPD, value_1KPD = (t.to(kind) for t in (query_1HPD, key_1KPD, value_1KPD))
    scale = query_1HPD.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query_1HPD, key_1KPD, value_1KPD, packed.spans, scale, window)


def _variable_length(
    query_1HPD: Tensor, key_1KPD: Tensor, value_1KPD: Tensor, packed: Packing, scaling: float | None, window: int | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    kind = _product_type(query_1HPD, value_1KPD)
    query_PHD, key_PKD, value_PKD = (t.squeeze(0).transpose(0, 1).to(kind) for t in (query_1HPD, key_1KPD, value_1KPD))
    bounds = packed.bounds()
    output_PHD = varlen_attn(
        query_PHD,
        key_PKD,
        value_PKD,
        bounds,
        bounds,
        packed.longest,
        packed.longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query_PHD.shape[1] != key_PKD.shape[1],
    )
    assert isinstance(output_PHD, Tensor)
    return output_PHD.unsqueeze(0)


def _flex(
    query_1HPD: Tensor, key_1KPD: Tensor, value_1KPD: Tensor, packed: Packing, scaling: float | None, window: int | None
) -> Tensor:
    function = _flex_attention(compiled=query_1HPD.is_cuda)
    kind = _product_type(query_1HPD, value_1KPD)
    output_1HPD = function(
        *(t.to(kind) for t in (query_1HPD, key_1KPD, value_1KPD)),
        block_mask=packed.block_mask(window),
        scale=scaling,
        enable_gqa=query_1HPD.shape[1] != key_1KPD.shape[1],
    )
    return output_1HPD.transpose(1, 2)


@cache
def _flex_attention(*, compiled: bool) -> Callable[..., Tensor]:
    """Uncompiled it holds all (P, P) scores; that is for tests."""
    from torch.nn.attention.flex_attention import flex_attention

    function: Callable[..., Any] = flex_attention
    return torch.compile(function, dynamic=True) if compiled else function


def _product_type(query: Tensor, value: Tensor) -> torch.dtype:
    """Autocast leaves rotated queries and keys in float32; only the library's own attention is cast for us."""
    device = query.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype


def _refuse_extras(module: torch.nn.Module, dropout: float, others: dict[str, Any]) -> None:
    extras = [name for name in REFUSED if others.get(name) is not None]
    if extras:
        raise _cannot_pack(type(module).__name__, f"its attention needs {', '.join(extras)}, which ours does not have")
    if dropout:
        raise _cannot_pack(type(module).__name__, f"its attention drops {dropout:g} of the weights; set it to 0")
    if others.get("is_causal") is False or not getattr(module, "is_causal", True):
        raise _cannot_pack(type(module).__name__, "its attention also looks at later tokens")


def _cannot_pack(kind: str, reason: str) -> ModelError:
    return ModelError(
        f"{kind} cannot be trained on packed sequences: {reason}. Engine and trainer compute attention themselves, and "
        f"here it would be another than the model's. {WAY_OUT}"
    )


@contextmanager
def _packed_forward() -> Iterator[None]:
    token = _in_packed_forward.set(True)
    try:
        yield
    finally:
        _in_packed_forward.reset(token)


@cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    def mask(*args: Any, **kwargs: Any) -> Tensor | None:
        """None for a packed forward: its mask would be (P, P)."""
        made = None if _in_packed_forward.get() else sdpa_mask(*args, **kwargs)
        if made is not None:
            setattr(made, WINDOW, kwargs.get("local_size"))
        return made

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, mask)
