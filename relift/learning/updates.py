"""The two updates of an iteration, each a few optimizer steps.

    steps -> packed micro-batches of what has signal -> log-probs -> loss / counts of the whole step -> backward
          -> once per step: norm, clip, AdamW (or refuse, counted)

Departures from the reference: every loss of a step divides by one count of the whole step; sequences that cannot move
the weights are not computed, while they stay in that count; on a CPU the prompt of a question's rollouts is computed
once; a step whose gradient is not finite, or above a limit, is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.config import RlConfig, SftConfig
from relift.learning.batching import MicroBatch
from relift.learning.beside import is_beside, parts_beside
from relift.learning.head import Entropy
from relift.learning.likelihoods import Likelihoods, others, per_token
from relift.learning.losses import Counts, LossOutput, policy_loss, sft_loss
from relift.learning.own_loss import needs_every_sequence
from relift.learning.passes import Forward, Sizes
from relift.learning.sharding import ALONE, Ranks, require_together
from relift.learning.steps import Tally, optimizer_step, ready_to_train, skip_steps
from relift.learning.throughput import forward_flops, peak_flops, peak_memory, update_flops
from relift.learning.tokens import PolicyTokens
from relift.records import TrainingSequence, UpdateKind, UpdateReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How an update is gone through, whatever its loss, e.g. lr 1e-6."""

    sizes: Sizes
    lr: float
    check: Callable[[], None]
    """Runs between micro-batches; when it raises, weights may have moved."""
    rl_weight: float = 1.0
    """Factor on the RL term, beside which demonstrations may stand."""
    start: Callable[[], AbstractContextManager[PreTrainedModel]] | None = None
    """The start model, for as long as it is read, whole on each rank; of what is distilled from it alone."""
    ranks: Ranks = ALONE


@dataclass(frozen=True, slots=True, kw_only=True)
class SftOutcome:
    """A supervised update and what it did to each demonstration, in the order they were given."""

    report: UpdateReport
    nll_before: tuple[float, ...]
    """Nats per token of a demonstration before the first optimizer step of the update."""
    nll_after: tuple[float, ...]


def rl_update(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    steps: Sequence[Sequence[TrainingSequence]],
    *,
    config: RlConfig,
    conduct: Conduct,
    temperature: float,
    max_completion_tokens: int,
    reference: PreTrainedModel | None = None,
) -> UpdateReport:
    """One pass over the steps of ``rl_sequences``: an optimizer step for each that has signal, or is taught something.

    Sequences with a supervision are a term of their own, ``supervised_term``, and so are those with a distillation,
    ``distillation_term``, which needs ``conduct.start``: in micro-batches of their own, at temperature 1. The old
    log-probabilities are those of the weights at entry: the first step's own, detached, and for later steps one pass
    without gradient before anything moves. ``reference`` is the start model, needed with ``config.kl`` alone.
    ``tokens`` and ``sequences`` of the report are the denominators', the other figures the trained rollouts' tokens'.
    All ranks are given the same steps and return the same report.
    """
    started = time.perf_counter()
    sizes, ranks = conduct.sizes, conduct.ranks
    require_together(model, optimizer, ranks, steps)
    check = ranks.together(conduct.check)
    tally = Tally()
    sampled = [[s for s in step if not is_beside(s)] for step in steps]
    taught = [[s for s in step if is_beside(s) and s.loss_tokens] for step in steps]
    counts = [Counts.of(step, max_completion_tokens=max_completion_tokens) for step in sampled]
    kept = [_with_gradient(step, config) if count.tokens else [] for step, count in zip(sampled, counts, strict=True)]
    forward, plain = (Forward(model, sizes, heat, ranks) for heat in (temperature, 1.0))
    weigh_entropy = Entropy.GRADIENT if config.entropy_weight else Entropy.VALUE

    def loss(batch: MicroBatch, old_C: Tensor | None, count: Counts) -> LossOutput:
        logprobs_C, entropy_C = forward.logprobs(batch, weigh_entropy)
        old_C = logprobs_C.detach() if old_C is None else old_C
        tally.add_gap(old_C, batch)
        reference_C = _reference_logprobs(reference, batch, sizes, temperature) if config.kl else None
        tokens = _policy_tokens(batch, logprobs_C, old_C, reference_C, entropy_C)
        return policy_loss(tokens, config, count).scaled(conduct.rl_weight)

    with ready_to_train(model, optimizer, conduct.lr):
        found = zip(counts, kept, taught, strict=True)
        todo = [(count, forward.split(some), lessons) for count, some, lessons in found if some or lessons]
        skip_steps(optimizer, len(steps) - len(todo), tally)
        olds: list[list[Tensor | None]] = [
            list(forward.without_gradient(batches, check)) if later else [None] * len(batches)
            for later, (_, batches, _) in enumerate(todo)
        ]
        for (count, batches, lessons), old in zip(todo, olds, strict=True):
            of_rollouts = (loss(batch, old_C, count) for batch, old_C in zip(batches, old, strict=True))
            parts = chain(of_rollouts, parts_beside(plain, lessons, conduct.start))
            optimizer_step(model, optimizer, parts, config=config.optimizer, tally=tally, check=check)
    report = tally.over(ranks).report(UpdateKind.RL, [*counts, *map(Counts.of, taught)], conduct.lr)
    read = [len(d.prompt_ids) + s.loss_tokens for step in taught for s in step if (d := s.distillation)]
    return _measured(report, model, [*kept, *taught], started, ranks, read=read)


def sft_update(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    minibatches: Sequence[Sequence[TrainingSequence]],
    *,
    demonstrations: Sequence[TrainingSequence],
    config: SftConfig,
    conduct: Conduct,
) -> SftOutcome:
    """One optimizer step per minibatch of ``sft_minibatches``, each divided by its own token count; temperature 1.

    ``demonstrations`` are measured: what the likelihood of each was before and after. What is before comes out of the
    first optimizer step's own forward pass where the very demonstration is in it (with one step per update: all of
    them), the rest and all that is after from passes without gradient, at a third of what training on them costs.
    All ranks are given the same sequences and return the same outcome.
    """
    started = time.perf_counter()
    ranks = conduct.ranks
    require_together(model, optimizer, ranks, [*minibatches, demonstrations])
    check = ranks.together(conduct.check)
    tally = Tally()
    counts = [Counts.of(minibatch) for minibatch in minibatches]
    taught = [(count, minibatch) for count, minibatch in zip(counts, minibatches, strict=True) if count.tokens]
    forward = Forward(model, conduct.sizes, 1.0, ranks)
    before, after = Likelihoods(demonstrations), Likelihoods(demonstrations)

    def loss(step: int, batch: MicroBatch) -> LossOutput:
        count, minibatch = taught[step]
        logprobs_C, entropy_C = forward.logprobs(batch, Entropy.GRADIENT if config.entropy_weight else Entropy.VALUE)
        if step == 0:
            before.add(minibatch, batch, logprobs_C.detach())
        return sft_loss(
            logprobs_C,
            entropy_C,
            alpha=config.entropy_weight,
            token_count=count.tokens,
            token_weights=config.token_weights,
            entropy_threshold=config.entropy_threshold,
        )

    with ready_to_train(model, optimizer, conduct.lr):
        forward.measure(others(demonstrations, taught[0][1] if taught else ()), before, check)
        skip_steps(optimizer, len(minibatches) - len(taught), tally)
        for step, (_, minibatch) in enumerate(taught):
            parts = map(partial(loss, step), forward.split(minibatch))
            optimizer_step(model, optimizer, parts, config=config.optimizer, tally=tally, check=check)
        forward.measure(demonstrations, after, check)
    nll_before, nll_after = before.over(ranks), after.over(ranks)
    report = replace(
        tally.over(ranks).report(UpdateKind.SFT, counts, conduct.lr),
        nll_before=per_token(nll_before, demonstrations),
        nll_after=per_token(nll_after, demonstrations),
    )
    report = _measured(report, model, minibatches, started, ranks)
    return SftOutcome(report=report, nll_before=nll_before, nll_after=nll_after)


def _policy_tokens(
    batch: MicroBatch, logprobs_C: Tensor, old_C: Tensor, reference_C: Tensor | None, entropy_C: Tensor | None
) -> PolicyTokens:
    assert batch.advantages_S is not None, "an RL step holds a sequence without advantage"
    return PolicyTokens(
        logprobs_C=logprobs_C,
        old_logprobs_C=old_C,
        advantages_S=batch.advantages_S,
        sequence_C=batch.sequence_C,
        loss_tokens_S=batch.loss_tokens_S,
        sampling_logprobs_C=batch.sampling_logprobs_C,
        reference_logprobs_C=reference_C,
        entropy_C=entropy_C,
        demonstrated_S=batch.demonstrated_S,
    )


def _with_gradient(step: Sequence[TrainingSequence], config: RlConfig) -> list[TrainingSequence]:
    """The sequences that move the weights: those with an advantage, where the loss needs no others."""
    return [s for s in step if s.advantage != 0.0] if not needs_every_sequence(config) else list(step)


@torch.no_grad()
def _reference_logprobs(
    reference: PreTrainedModel | None, batch: MicroBatch, sizes: Sizes, temperature: float
) -> Tensor:
    assert reference is not None, "a KL penalty needs the start model"
    return Forward(reference, sizes, temperature, ALONE).logprobs(batch)[0]


def _measured(
    report: UpdateReport,
    model: PreTrainedModel,
    steps: Sequence[Sequence[TrainingSequence]],
    started: float,
    ranks: Ranks,
    *,
    read: Sequence[int] = (),
) -> UpdateReport:
    """``read``: lengths of what the start model, a model like this one, was given to be distilled from."""
    seconds, memory = ranks.largest([time.perf_counter() - started, peak_memory(model.device)])
    flops = update_flops(model, (len(s.token_ids) for step in steps for s in step)) + forward_flops(model, read)
    peak = peak_flops(model.device)
    return replace(
        report,
        seconds=seconds,
        flops=flops,
        mfu=flops / seconds / (peak * ranks.size) if peak else None,
        peak_memory_bytes=int(memory),
    )
