"""How often a model answers the held-out questions of each family, greedily and at temperature 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from relift.arithmetic.families import FAMILIES
from relift.arithmetic.questions import held_out_questions

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

# B prompts of equal length, T tokens of them, V vocabulary

PER_FAMILY = 400
LONGEST_COMPLETION = 48
"""Tokens; the longest chain of any family, with its end of sequence, is shorter."""


def pass_rates(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, *, seed: int, per_family: int = PER_FAMILY
) -> dict[str, dict[str, float]]:
    """Per cent of held-out questions answered correctly, by family: ``{"mul2": {"greedy": 1.5, "sampled": 0.8}}``."""
    generator = torch.Generator().manual_seed(seed)
    rates: dict[str, dict[str, float]] = {}
    for name in FAMILIES:
        questions = held_out_questions([name], per_family, seed)
        texts = [question.text for question in questions]
        rates[name] = {}
        for how, source in (("greedy", None), ("sampled", generator)):
            answers = answer(model, tokenizer, texts, generator=source)
            right = sum(answers[question.text].rpartition("=")[2] == question.answer for question in questions)
            rates[name][how] = round(100 * right / len(questions), 2)
    return rates


@torch.no_grad()
def answer(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: Iterable[str],
    *,
    generator: torch.Generator | None = None,
) -> dict[str, str]:
    """The completion of each question: greedy, or sampled at temperature 1 with ``generator``."""
    completions = {}
    for prompts in _of_equal_length(texts):
        prompt_ids_BT = torch.tensor([tokenizer.encode(prompt) for prompt in prompts])
        ids_BT = _complete(model, prompt_ids_BT, len(tokenizer), tokenizer.eos_token_id, generator)
        for prompt, ids in zip(prompts, ids_BT.tolist(), strict=True):
            end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
            completions[prompt] = tokenizer.decode(ids[:end])
    return completions


def _of_equal_length(texts: Iterable[str]) -> Iterator[list[str]]:
    for _, prompts in groupby(sorted(texts, key=len), key=len):
        yield list(prompts)


def _complete(
    model: Qwen2ForCausalLM, prompt_ids_BT: Tensor, real_tokens: int, eos_id: int, generator: torch.Generator | None
) -> Tensor:
    """(B, T) ids after the prompts; what stands after the first ``eos_id`` of a row means nothing."""
    cache = None
    ids_BT = prompt_ids_BT
    written: list[Tensor] = []
    ended_B = torch.zeros(len(prompt_ids_BT), dtype=torch.bool)
    while len(written) < LONGEST_COMPLETION and not ended_B.all():
        output = model(input_ids=ids_BT, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        logits_BV = output.logits[:, -1, :real_tokens]  # ids beyond pad the vocabulary
        if generator is None:
            ids_BT = logits_BV.argmax(-1, keepdim=True)
        else:
            ids_BT = torch.multinomial(logits_BV.softmax(-1), 1, generator=generator)
        written.append(ids_BT)
        ended_B |= ids_BT[:, 0] == eos_id
    return torch.cat(written, dim=1)
