"""The two updates of an iteration, each a few optimizer steps.

    steps -> micro-batches of what has signal -> log-probs -> loss / counts of the whole step -> backward
          -> once per step: norm, clip, AdamW (or refuse, counted)

Departures from the reference: every loss of a step divides by one count of the whole step; sequences without advantage
are not computed, while they stay in that count; a step whose gradient is not finite, or above the limit, is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.config import RlConfig, SftConfig
from relift.learning.batching import MicroBatch, micro_batches
from relift.learning.forward import Entropy, token_logprobs
from relift.learning.losses import Counts, LossOutput, policy_loss, sft_loss
from relift.learning.steps import Tally, optimizer_step, ready_to_train
from relift.records import TrainingSequence, UpdateKind, UpdateReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SftOutcome:
    """A supervised update and what it did to each demonstration, in the order they were given."""

    report: UpdateReport
    nll_before: tuple[float, ...]
    """Nats per token of a demonstration before the update."""
    nll_after: tuple[float, ...]


def rl_update(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    steps: Sequence[Sequence[TrainingSequence]],
    *,
    config: RlConfig,
    temperature: float,
    max_completion_tokens: int,
    vocabulary: int,
    lr: float,
    micro_batch_tokens: int,
    pad_id: int,
    check: Callable[[], None],
) -> UpdateReport:
    """One pass over the steps of ``rl_sequences``: an optimizer step for each that has signal.

    The old log-probabilities are those of the weights at entry: the first step's own, detached, and for later steps one
    pass without gradient before anything moves. ``tokens`` and ``sequences`` of the report are the denominators', the
    other figures the trained tokens'. ``check`` runs between micro-batches; when it raises, weights may have moved.
    """
    started = time.perf_counter()
    tally = Tally()
    counts = [Counts.of(step) for step in steps]
    todo = [
        (count, micro_batches(trained, max_tokens=micro_batch_tokens, pad_id=pad_id))
        for count, step in zip(counts, steps, strict=True)
        if count.tokens and (trained := _with_gradient(step, config))
    ]
    tally.skipped = len(steps) - len(todo)

    def logprobs(batch: MicroBatch, entropy: Entropy = Entropy.NONE) -> tuple[Tensor, Tensor | None]:
        return token_logprobs(model, batch, temperature=temperature, vocabulary=vocabulary, entropy=entropy)

    def loss(batch: MicroBatch, old_BT: Tensor | None, count: Counts) -> LossOutput:
        logprobs_BT, entropy_BT = logprobs(batch, Entropy.GRADIENT if config.entropy_weight else Entropy.VALUE)
        old_BT = logprobs_BT.detach() if old_BT is None else old_BT
        tally.add_gap(old_BT, batch)
        assert batch.advantages_B1 is not None, "an RL step holds a sequence without advantage"
        return policy_loss(
            logprobs_BT,
            old_BT,
            batch.advantages_B1,
            batch.mask_BT,
            clip=config.clip,
            aggregation=config.aggregation,
            counts=count,
            max_completion_tokens=max_completion_tokens,
            entropy_BT=entropy_BT,
            entropy_weight=config.entropy_weight,
        )

    with ready_to_train(model, optimizer, lr):
        on_device = [(count, [batch.to(model.device) for batch in batches]) for count, batches in todo]
        olds: list[list[Tensor | None]] = [
            list(_without_gradient(logprobs, batches, check)) if later else [None] * len(batches)
            for later, (_, batches) in enumerate(on_device)
        ]
        for (count, batches), old in zip(on_device, olds, strict=True):
            parts = (loss(batch, old_BT, count) for batch, old_BT in zip(batches, old, strict=True))
            optimizer_step(model, optimizer, parts, config=config.optimizer, tally=tally, check=check)
    return tally.report(UpdateKind.RL, counts, lr, time.perf_counter() - started)


def sft_update(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    minibatches: Sequence[Sequence[TrainingSequence]],
    *,
    demonstrations: Sequence[TrainingSequence],
    config: SftConfig,
    vocabulary: int,
    lr: float,
    micro_batch_tokens: int,
    pad_id: int,
    check: Callable[[], None],
) -> SftOutcome:
    """One optimizer step per minibatch of ``sft_minibatches``, each divided by its own token count; temperature 1.

    ``demonstrations`` are measured, not trained on: what the likelihood of each was before and after. ``check`` runs
    between micro-batches; when it raises, weights may have moved.
    """
    started = time.perf_counter()
    tally = Tally()
    counts = [Counts.of(minibatch) for minibatch in minibatches]

    def logprobs(batch: MicroBatch, entropy: Entropy = Entropy.NONE) -> tuple[Tensor, Tensor | None]:
        return token_logprobs(model, batch, temperature=1.0, vocabulary=vocabulary, entropy=entropy)

    def loss(batch: MicroBatch, count: Counts) -> LossOutput:
        logprobs_BT, entropy_BT = logprobs(batch, Entropy.GRADIENT if config.entropy_weight else Entropy.VALUE)
        return sft_loss(logprobs_BT, entropy_BT, batch.mask_BT, alpha=config.entropy_weight, token_count=count.tokens)

    def split(sequences: Sequence[TrainingSequence]) -> list[MicroBatch]:
        batches = micro_batches(sequences, max_tokens=micro_batch_tokens, pad_id=pad_id)
        return [batch.to(model.device) for batch in batches]

    measured = split(demonstrations)

    def nll() -> tuple[float, ...]:
        values = [0.0] * len(demonstrations)
        for batch, logprobs_BT in zip(measured, _without_gradient(logprobs, measured, check), strict=True):
            nll_B = -(logprobs_BT.sum(dim=1) / batch.mask_BT.sum(dim=1))
            for index, value in zip(batch.indices, nll_B.tolist(), strict=True):
                values[index] = value
        return tuple(values)

    with ready_to_train(model, optimizer, lr):
        before = nll()
        for count, minibatch in zip(counts, minibatches, strict=True):
            if not count.tokens:
                tally.skipped += 1
                continue
            parts = (loss(batch, count) for batch in split(minibatch))
            optimizer_step(model, optimizer, parts, config=config.optimizer, tally=tally, check=check)
        after = nll()
    report = tally.report(UpdateKind.SFT, counts, lr, time.perf_counter() - started)
    return SftOutcome(
        report=replace(
            report, nll_before=_per_token(before, demonstrations), nll_after=_per_token(after, demonstrations)
        ),
        nll_before=before,
        nll_after=after,
    )


def _with_gradient(step: Sequence[TrainingSequence], config: RlConfig) -> list[TrainingSequence]:
    """The sequences that move the weights: with an entropy bonus all of them, else those with an advantage."""
    return [sequence for sequence in step if config.entropy_weight or sequence.advantage != 0.0]


def _without_gradient(
    logprobs: Callable[[MicroBatch], tuple[Tensor, Tensor | None]],
    batches: Sequence[MicroBatch],
    check: Callable[[], None],
) -> list[Tensor]:
    results = []
    for batch in batches:
        with torch.no_grad():
            results.append(logprobs(batch)[0])
        check()
    return results


def _per_token(nll: Sequence[float], sequences: Sequence[TrainingSequence]) -> float:
    """Mean over all tokens, where ``nll`` holds the mean of each sequence."""
    tokens = [sequence.loss_tokens for sequence in sequences]
    return sum(n * t for n, t in zip(nll, tokens, strict=True)) / max(1, sum(tokens))
