"""A byte tokenizer and a small random model: any text trains on any machine, though it learns little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SPECIAL = ("<pad>", "<bos>", "<eos>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] }}<eos>"
    "{% else %}<bos>{{ message['content'] }}\n{% endif %}{% endfor %}"
)


def byte_tokenizer() -> Any:
    """One token per byte of UTF-8, 3 special ones before them: 259 tokens, no text it cannot hold.

    AutoTokenizer rebuilds whatever lies beside a Qwen2 model as a Qwen2Tokenizer, so it is one from the start: a
    byte-level one without merges.
    """
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *alphabet))}
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        unk_token=None,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def random_model(seed: int, *, vocabulary: int) -> Any:
    """A two-layer Qwen2 with weights drawn from a generator of its own, embedding padded to a multiple of 64."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=128,
        vocab_size=-(-vocabulary // 64) * 64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):  # the library initialises from the global generator, which stays as it was
        torch.manual_seed(seed)
        return Qwen2ForCausalLM(config)


def write_random_bytes(folder: Path, seed: int) -> Path:
    """The pair as a Hugging Face folder."""
    tokenizer = byte_tokenizer()
    random_model(seed, vocabulary=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
