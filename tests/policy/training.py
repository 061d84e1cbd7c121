"""A few sequences and one optimizer step on them, for tests of what a policy is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from relift.config import AdamConfig
from relift.learning.batching import micro_batches
from relift.learning.forward import token_logprobs
from relift.learning.losses import Counts, sft_loss
from relift.learning.steps import Tally, optimizer_step
from relift.records import TrainingSequence

VOCABULARY = 259
LENGTHS = (31, 4, 12, 2, 9)


def demonstrations(seed: int = 0) -> list[TrainingSequence]:
    """One for each of LENGTHS, after prompts of three tokens."""
    rng = np.random.default_rng(seed)
    return [
        TrainingSequence(
            question_id=f"q{i}",
            token_ids=tuple(int(t) for t in rng.integers(3, VOCABULARY, 3 + length)),
            loss_mask=(0,) * 3 + (1,) * length,
        )
        for i, length in enumerate(LENGTHS)
    ]


def loss_of(model: Any, made: list[TrainingSequence], *, max_tokens: int = 40) -> Any:
    """The parts of the step's loss, computed as they are asked for."""
    for batch in micro_batches(made, max_tokens=max_tokens):
        logprobs_C, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=16)
        yield sft_loss(logprobs_C, None, alpha=0.0, token_count=Counts.of(made).tokens)


def gradient(model: Any, made: list[TrainingSequence]) -> Any:
    """By parameter name."""
    for part in loss_of(model, made):
        part.loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def train(model: Any, optimizer: Any, seed: int) -> None:
    """One step on demonstrations of that seed."""
    assert optimizer_step(
        model,
        optimizer,
        loss_of(model, demonstrations(seed)),
        config=AdamConfig(skip_spike=100.0),
        tally=Tally(),
        check=lambda: None,
    )
