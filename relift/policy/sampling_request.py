"""What an engine is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from relift import randomness
from relift.records import Purpose, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRequest:
    """What to sample for each question, e.g. 8 completions of at most 48 tokens at temperature 1."""

    samples: int
    max_tokens: int
    temperature: float
    """0 is greedy."""
    seed: int
    iteration: int
    purpose: Purpose
    version: int
    """Of the policy that samples; stamped on every completion."""
    first_sample: int = 0
    """Number of the first of them: further completions of one question are sampled with draws of their own."""

    def draws(self, question: Question, sample: int) -> np.ndarray:
        """(max_tokens,) uniform numbers of one rollout: a function of its own key alone (contract 4)."""
        key = (self.seed, self.iteration, self.purpose, question.id, self.first_sample + sample)
        return randomness.uniforms(*key, count=self.max_tokens)


@dataclass(frozen=True, slots=True)
class Prompt:
    question: Question
    token_ids: tuple[int, ...]
    max_tokens: int | None = None
    """Of its completions, where that is not the request's."""

    def longest(self, request: SamplingRequest) -> int:
        """Tokens that a completion of it may have."""
        return self.max_tokens or request.max_tokens


def by_max_tokens(prompts: Sequence[Prompt], request: SamplingRequest) -> Iterator[tuple[list[int], SamplingRequest]]:
    """Positions of the prompts whose completions may be equally long, and the request for these."""
    limits = [prompt.longest(request) for prompt in prompts]
    for limit in dict.fromkeys(limits):
        yield [i for i, one in enumerate(limits) if one == limit], replace(request, max_tokens=limit)
