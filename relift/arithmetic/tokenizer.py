"""A tokenizer with one token for each character of the arithmetic notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS = "<pad>", "<eos>"
CHARACTERS = "0123456789+-*/()=x?"
TOKENS = (PAD, EOS, *CHARACTERS)
"""A token's id is its index here."""

VOCABULARY_SIZE = 64
"""Rows of the model's embedding. Ids from ``len(tokenizer)`` on pad it to a size that every engine serves; a sampler
must mask them."""

# A question is its own prompt: its "?" ends the user's turn, the end of sequence ends the assistant's.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that is saved with the base model. Characters that it does not know are dropped.

    AutoTokenizer rebuilds whatever lies beside a Qwen2 model as a Qwen2Tokenizer, so it is one from the start: a
    byte-level one whose bytes are the characters above and which has no merges.
    """
    from transformers import Qwen2Tokenizer

    ids = {token: number for number, token in enumerate(TOKENS)}
    return Qwen2Tokenizer(
        vocab=ids,
        merges=[],
        unk_token=None,
        pad_token=PAD,
        eos_token=EOS,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )
