"""Recorded rollouts of skewed length, and the random model that updates on them, for relift and TRL alike.

Everything follows from a committed seed, so both sides build the same in their own environments; nothing of relift is
imported here. Token ids are drawn uniformly, which is also what their log-probabilities say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 20261122
QUESTIONS, SAMPLES, LONGEST = 64, 8, 512
PAD, EOS, FIRST = 0, 2, 3
"""Ids below FIRST are special and never drawn."""

CPU_SHAPE: dict[str, Any] = {
    "model_type": "qwen2",
    "vocab_size": 512,
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 736,
    "max_position_embeddings": 1024,
}
"""2.42 million parameters, head tied."""
WIDE_SHAPE: dict[str, Any] = {
    **CPU_SHAPE,
    "vocab_size": 151_936,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 16_384,
}
"""The vocabulary of Qwen2 over a narrow model: what the logits take stands out."""
QWEN3_SHAPE: dict[str, Any] = {
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 3072,
    "max_position_embeddings": 40_960,
}
"""Qwen3-0.6B."""
SHAPES = {"cpu": CPU_SHAPE, "wide": WIDE_SHAPE, "qwen3-0.6b": QWEN3_SHAPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One rollout of question 17, say: prompt of 24 tokens, completion of 90, reward 1.0."""

    question: int
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    """Ends with EOS, unless it ran out of tokens."""
    logprobs: tuple[float, ...]
    reward: float

    @property
    def tokens(self) -> int:
        """Of prompt and completion."""
        return len(self.prompt_ids) + len(self.completion_ids)


def skewed(*, without_signal: float = 0.0, longest: int = LONGEST, vocabulary: int = 512) -> list[list[Recorded]]:
    """64 groups of 8: lengths log-normal with a mean near 90 and cut off at 512, half of the variance the question's.

    Of the groups a share ``without_signal``, spread over the questions, agrees in its rewards (half of these all
    correct); each other one holds 1 to 7 correct rollouts. Nothing else depends on that share. With another
    ``longest`` all lengths scale.
    """
    rng = np.random.default_rng(SEED)
    base = rng.normal(math.log(67), 0.67, QUESTIONS)[:, None] + rng.normal(0, 0.67, (QUESTIONS, SAMPLES))
    lengths = np.clip(np.exp(base), 4, LONGEST) * (longest / LONGEST)
    prompts = rng.integers(16, 33, QUESTIONS)
    correct = rng.integers(1, SAMPLES, QUESTIONS)
    silent = rng.permutation(QUESTIONS)[: round(without_signal * QUESTIONS)]
    groups = []
    for question in range(QUESTIONS):
        prompt = _draw(rng, prompts[question], vocabulary)
        order = rng.permutation(SAMPLES)
        count = int(correct[question]) if question not in silent else SAMPLES * (question % 2)
        groups.append(
            [
                _rollout(rng, question, prompt, round(lengths[question, s]), longest, vocabulary, order[s] < count)
                for s in range(SAMPLES)
            ]
        )
    return groups


def equal(groups: int, samples: int, tokens: int, *, vocabulary: int) -> list[list[Recorded]]:
    """Groups whose completions all have ``tokens`` tokens, after prompts of 16; every second rollout is correct."""
    rng = np.random.default_rng(SEED)
    made = []
    for question in range(groups):
        prompt = _draw(rng, 16, vocabulary)
        made.append([_rollout(rng, question, prompt, tokens, tokens, vocabulary, s % 2 == 0) for s in range(samples)])
    return made


def random_model(shape: str, *, attention: str = "sdpa") -> Any:
    """The transformers model of a shape in float32 with weights from the seed, head tied."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tied = {"tie_word_embeddings": True, "pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": 1}
    config = AutoConfig.for_model(**{**SHAPES[shape], **tied})
    torch.manual_seed(SEED)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=attention)


def _rollout(
    rng: np.random.Generator,
    question: int,
    prompt: tuple[int, ...],
    length: int,
    longest: int,
    vocabulary: int,
    correct: bool,
) -> Recorded:
    completion = _draw(rng, length, vocabulary)
    if length < longest:
        completion = (*completion[:-1], EOS)
    return Recorded(
        question=question,
        prompt_ids=prompt,
        completion_ids=completion,
        logprobs=(-math.log(vocabulary - FIRST),) * length,
        reward=float(correct),
    )


def _draw(rng: np.random.Generator, length: int, vocabulary: int) -> tuple[int, ...]:
    return tuple(rng.integers(FIRST, vocabulary, length).tolist())
