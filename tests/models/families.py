"""Tokenizers and chat templates as real families of models have them, small enough to build in a moment.

Each family is one way that text can go wrong: who opens the reasoning and with which tokens, whether there is a system
role, whether a blank comes before the first word, whether every id below the largest is a token. The templates keep the
lines of the published ones that decide this and leave out tools and images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

CORPUS = (
    "The answer is 42. So 6*7 = 42, and 40*6+7*6=240+42=282. Let me think: first the sum, then the product.\n\n",
    "What is the value of x? We have x = \\frac{1}{2}, so the final answer is \\boxed{\\frac{1}{2}}.\n",
    "user assistant system think Please reason step by step, and put your final answer within \\boxed{}.\n",
)
TOKENS = 400
"""Of a trained vocabulary, before what is added to it."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A tokenizer with its template, and what is true of its prompts."""

    name: str
    build: Callable[[], Any]
    """A new tokenizer, of the class that AutoTokenizer finds beside a model of ``model_type``."""
    model_type: str
    opens_thinking: bool = False
    takes_system: bool = True
    kwargs: tuple[tuple[str, bool], ...] = ()
    """What policy.chat_template_kwargs has to hold for this, e.g. ``(("enable_thinking", False),)``."""


QWEN3 = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
        {{- '<|im_start|>assistant\\n' + content + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
QWEN3_THINKING = QWEN3.replace(
    """    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
""",
    "    {{- '<think>\\n' }}\n",
)
R1 = """\
{%- set ns = namespace(system='') %}
{%- for message in messages %}{% if message.role == 'system' %}{% set ns.system = message.content %}{% endif %}\
{%- endfor %}
{{- bos_token + ns.system }}
{%- for message in messages %}
    {%- if message.role == 'user' %}{{- '<｜User｜>' + message.content }}{% endif %}
    {%- if message.role == 'assistant' %}
        {{- '<｜Assistant｜>' + message.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<｜Assistant｜><think>\\n' }}{% endif %}"""
LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""
MISTRAL = """\
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content + '\\n\\n' %}{% set rest = messages[1:] %}
{%- else %}
    {%- set system = '' %}{% set rest = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in rest %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' + (system if loop.first else '') + message.content + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message.content + eos_token }}
    {%- endif %}
{%- endfor %}"""
PHI3 = """\
{%- for message in messages %}
    {{- '<|' + message.role + '|>\\n' + message.content + '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{% else %}{{- eos_token }}{% endif %}"""
GEMMA2 = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}{{- raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
    {%- set role = 'model' if message.role == 'assistant' else message.role %}
    {{- '<start_of_turn>' + role + '\\n' + message.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{% endif %}"""
GEMMA3 = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set first = messages[0].content + '\\n\\n' %}{% set rest = messages[1:] %}
{%- else %}
    {%- set first = '' %}{% set rest = messages %}
{%- endif %}
{%- for message in rest %}
    {%- set role = 'model' if message.role == 'assistant' else message.role %}
    {%- set content = (first if loop.first else '') + message.content | trim %}
    {{- '<start_of_turn>' + role + '\\n' + content + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{% endif %}"""
GPT2 = """\
{%- for message in messages %}{{- message.role + ': ' + message.content + '\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{- 'assistant:' }}{% endif %}"""


@cache
def byte_level_vocabulary() -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """(ids, merges) of a byte-level BPE trained on CORPUS."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=TOKENS, initial_alphabet=sorted(alphabet), show_progress=False)
    )
    return _trained(trained)


@cache
def metaspace_vocabulary(special: tuple[str, ...]) -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """(ids, merges) of a BPE with byte fallback as SentencePiece trains it: special tokens, bytes, then pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=150, show_progress=False))
    pieces, merges = _trained(trained)
    fixed = (*special, *(f"<0x{byte:02X}>" for byte in range(256)))
    ordered = sorted((piece for piece in pieces if piece != "\n"), key=pieces.__getitem__)
    return {piece: number for number, piece in enumerate(dict.fromkeys((*fixed, *ordered)))}, merges


def _trained(tokenizer: Any) -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    model = json.loads(tokenizer.to_str())["model"]
    return dict(model["vocab"]), tuple(tuple(pair) for pair in model["merges"])


def qwen(template: str, *, special_tags: bool = False) -> Any:
    """Byte-level, ChatML; the tags of the reasoning are added tokens, as published not special."""
    from transformers import AddedToken, Qwen2Tokenizer

    vocabulary, merges = byte_level_vocabulary()
    tokenizer = Qwen2Tokenizer(
        vocab=dict(vocabulary),
        merges=list(merges),
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.add_tokens([AddedToken(tag, special=special_tags, normalized=False) for tag in ("<think>", "</think>")])
    return tokenizer


def r1(template: str = R1) -> Any:
    """Byte-level, as the distillations of DeepSeek-R1 on Qwen: the turns' tokens are added and not special."""
    from transformers import AddedToken, Qwen2Tokenizer

    vocabulary, merges = byte_level_vocabulary()
    tokenizer = Qwen2Tokenizer(
        vocab=dict(vocabulary),
        merges=list(merges),
        unk_token=None,
        bos_token="<｜begin▁of▁sentence｜>",
        eos_token="<｜end▁of▁sentence｜>",
        pad_token="<｜end▁of▁sentence｜>",
        chat_template=template,
    )
    plain = ("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>")
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain])
    return tokenizer


def llama3() -> Any:
    """Byte-level, in the class that Llama 3 is published with."""
    from transformers import PreTrainedTokenizerFast

    special = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")
    return PreTrainedTokenizerFast(
        tokenizer_object=_byte_level(),
        bos_token=special[0],
        eos_token=special[1],
        additional_special_tokens=list(special[2:]),
        chat_template=LLAMA3,
    )


def with_hole(gap: int = 5) -> Any:
    """Llama 3's, with its special tokens behind ids that no token has: len(tokenizer) is not the largest id + 1.

    Its ids are as published ones have them where tokens were taken out again, or added at a round number.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tree = json.loads(llama3().backend_tokenizer.to_str())
    for token in tree["added_tokens"]:
        token["id"] += gap
    ids = {token["content"]: token["id"] for token in tree["added_tokens"]}
    tree["model"]["vocab"] |= ids  # an added token that the model's own vocabulary lacks gets the next free id
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(tree)),
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        additional_special_tokens=["<|start_header_id|>", "<|end_header_id|>"],
        chat_template=LLAMA3,
    )


def metaspace(template: str, added: Sequence[str] = (), **settings: Any) -> Any:
    """As Llama 2, Mistral v0.1 and Phi-3: SentencePiece's BPE with byte fallback; a blank goes before the first word.

    ``legacy=True`` puts one after every special token as well. What is added takes the blanks after it, as Phi-3's do.
    """
    from transformers import AddedToken, LlamaTokenizer

    vocabulary, merges = metaspace_vocabulary(("<unk>", "<s>", "</s>"))
    known = set(vocabulary)
    tokenizer = LlamaTokenizer(
        vocab=dict(vocabulary),
        merges=[pair for pair in merges if {*pair, "".join(pair)} <= known],
        chat_template=template,
        **settings,
    )
    if added:
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False, rstrip=True) for token in added])
    return tokenizer


def phi3() -> Any:
    tokenizer = metaspace(PHI3, ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"), legacy=True)
    tokenizer.eos_token, tokenizer.pad_token = "<|end|>", "<|endoftext|>"
    return tokenizer


def gemma(template: str) -> Any:
    """SentencePiece's BPE with byte fallback and without a blank before the first word."""
    from transformers import GemmaTokenizer

    vocabulary, merges = metaspace_vocabulary(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))
    known = set(vocabulary)
    tokenizer = GemmaTokenizer(
        vocab=dict(vocabulary),
        merges=[pair for pair in merges if {*pair, "".join(pair)} <= known],
        chat_template=template,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    tokenizer.eos_token = "<end_of_turn>"
    return tokenizer


def gpt2(*, add_prefix_space: bool = False) -> Any:
    """Byte-level and without tokens for turns."""
    from transformers import GPT2Tokenizer

    vocabulary, merges = byte_level_vocabulary()
    return GPT2Tokenizer(
        vocab=dict(vocabulary), merges=list(merges), add_prefix_space=add_prefix_space, chat_template=GPT2
    )


def _byte_level() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary, merges = byte_level_vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab=dict(vocabulary), merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


_FAMILIES = (
    Family(name="qwen3", build=lambda: qwen(QWEN3), model_type="qwen3"),
    Family(
        name="qwen3, thinking off",
        build=lambda: qwen(QWEN3),
        model_type="qwen3",
        kwargs=(("enable_thinking", False),),
    ),
    Family(name="qwen3-thinking", build=lambda: qwen(QWEN3_THINKING), model_type="qwen3", opens_thinking=True),
    Family(
        name="qwen3-thinking, special tags",
        build=lambda: qwen(QWEN3_THINKING, special_tags=True),
        model_type="qwen3",
        opens_thinking=True,
    ),
    Family(name="qwen3-moe", build=lambda: qwen(QWEN3), model_type="qwen3_moe"),
    Family(name="r1 distillation", build=r1, model_type="qwen2", opens_thinking=True),
    Family(name="llama3", build=llama3, model_type="llama"),
    Family(name="hole in the ids", build=with_hole, model_type="llama"),
    Family(name="mistral", build=lambda: metaspace(MISTRAL), model_type="mistral"),
    Family(name="phi3", build=phi3, model_type="phi3"),
    Family(name="gemma2", build=lambda: gemma(GEMMA2), model_type="gemma2", takes_system=False),
    Family(name="gemma3", build=lambda: gemma(GEMMA3), model_type="gemma3_text"),
    Family(name="gpt2", build=gpt2, model_type="gpt2"),
    Family(name="gpt2, add_prefix_space", build=lambda: gpt2(add_prefix_space=True), model_type="gpt2"),
)
FAMILIES = {family.name: family for family in _FAMILIES}
