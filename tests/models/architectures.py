"""Small random models of the families of architectures that people train, and of some that relift refuses.

Windows are a few tokens, so that every prompt is longer; weights are drawn wide, so that whatever is left out of a
forward pass shows in its log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

WINDOW = 6
CONTEXT = 512
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
}
MIXED = ["sliding_attention", "full_attention"]
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT, "initializer_range": 0.3}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": WINDOW}
UNCAPPED = {"attn_logit_softcapping": None, "final_logit_softcapping": None}

Make = Callable[[dict[str, Any]], Any]


def settings(name: str, **changes: Any) -> Make:
    """The configuration of a class of transformers, with the changes."""
    return lambda tokens: getattr(transformers, f"{name}Config")(**{**SHAPE, **changes, **tokens})


SUPPORTED: dict[str, Make] = {
    "qwen2": settings("Qwen2"),
    "qwen2, windows": settings("Qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
    "qwen3": settings("Qwen3", head_dim=8),
    "qwen3_moe": settings("Qwen3Moe", head_dim=8, **EXPERTS),
    "llama": settings("Llama"),
    "mistral": settings("Mistral", sliding_window=WINDOW),
    "mixtral": settings("Mixtral", sliding_window=WINDOW, num_local_experts=4),
    "phi3": settings("Phi3", sliding_window=WINDOW),
    "gemma": settings("Gemma", head_dim=8),
    "gemma2, uncapped": settings("Gemma2", **GEMMA, **UNCAPPED),
    "gemma3_text": settings("Gemma3Text", **GEMMA, layer_types=MIXED),
    "gpt2": lambda tokens: transformers.GPT2Config(**{**GPT2, **tokens}),
    "olmo3": settings("Olmo3", sliding_window=WINDOW, layer_types=MIXED),
    "smollm3": settings("SmolLM3"),
    "starcoder2": settings("Starcoder2", sliding_window=WINDOW),
    "deepseek_v3": settings(
        "DeepseekV3",
        num_key_value_heads=4,
        first_k_dense_replace=2,
        q_lora_rank=None,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=12,
    ),
}
REFUSED: dict[str, tuple[Make, str]] = {
    "gemma2": (settings("Gemma2", **GEMMA), "attn_logit_softcapping=50.0"),
    "gemma2, scores uncapped": (settings("Gemma2", **GEMMA, attn_logit_softcapping=None), "final_logit_softcapping"),
    "granite": (settings("Granite", logits_scaling=4.0), "logits_scaling=4.0"),
    "cohere": (settings("Cohere", logit_scale=0.25), "logit_scale=0.25"),
    "gpt_oss": (settings("GptOss", num_local_experts=4, head_dim=8, sliding_window=WINDOW), "code of its own"),
    "bloom": (lambda tokens: transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=4, **tokens), "of its own"),
    "falcon": (settings("Falcon", alibi=True), "of its own"),
    "mamba": (settings("Mamba"), "layers of the kind linear_attention"),
    "llama4_text": (
        settings("Llama4Text", attention_chunk_size=WINDOW, num_local_experts=2, head_dim=8, intermediate_size_mlp=48),
        "layers of the kind chunked_attention",
    ),
    "lfm2": (settings("Lfm2", layer_types=["conv", "full_attention"]), "layers of the kind conv"),
    "jamba": (
        settings("Jamba", num_experts=2, use_mamba_kernels=False, attn_layer_period=2, attn_layer_offset=1),
        "layers of the kind linear_attention",
    ),
    "recurrent_gemma": (settings("RecurrentGemma"), "fails in a forward pass"),
    "bert": (settings("Bert", is_decoder=True), "the trainer's log-probabilities differ"),
    "nemotron": (settings("Nemotron"), "does not hand on"),
    "phimoe": (settings("Phimoe", num_local_experts=4, sliding_window=5000), "its mask is cut to 5000 tokens"),
    "t5": (settings("T5", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4), "no causal language model"),
    "gemma3": (lambda tokens: transformers.Gemma3Config(), "more than a language model"),
}
"""Each with words of the reason."""


def random_model(make: Make, *, vocabulary: int, **tokens: int | None) -> Any:
    """In float32, drawn from a generator of its own; ``tokens`` are ids such as eos_token_id."""
    ids = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None, **tokens}
    config = make({"vocab_size": vocabulary, **ids})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def write_model(folder: Path, make: Make, tokenizer: Any) -> Path:
    """Model and tokenizer as a Hugging Face folder; the embedding is padded to a multiple of 64."""
    largest = max(tokenizer.get_vocab().values())
    model = random_model(
        make,
        vocabulary=-(-(largest + 1) // 64) * 64,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
