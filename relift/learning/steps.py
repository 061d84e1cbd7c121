"""One optimizer step out of many micro-batches, and the running sums an update reports."""

from __future__ import annotations

import logging
import math
import statistics
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.config import AdamConfig
from relift.errors import DataError
from relift.learning.batching import MicroBatch
from relift.learning.losses import Counts, LossOutput
from relift.learning.optimizers import StepHistory, history_of
from relift.learning.sharding import Ranks, whole
from relift.records import UpdateKind, UpdateReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)
SPIKE_NEEDS = 8
"""Norms that a median is taken of at least."""
SUMMED = ("loss", "trained_tokens", "gap", "gap_tokens")
"""What a rank tallies of its own micro-batches alone, beside the metrics and the largest gap."""


@dataclass(slots=True)
class Tally:
    """What an update has done so far; the losses and entropies of steps not taken are left out."""

    steps: int = 0
    skipped: int = 0
    refused: int = 0
    loss: float = 0.0
    trained_tokens: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    """Sums of what the losses measured."""
    grad_norm: float = 0.0
    gap: float = 0.0
    gap_tokens: float = 0.0
    gap_max: float = 0.0

    def add_gap(self, logprobs_C: Tensor, batch: MicroBatch) -> None:
        """Compare with the sampler's log-probabilities; a gap that is not a number counts as infinite."""
        if batch.sampling_logprobs_C is None or not len(logprobs_C):
            return
        gap_C = (logprobs_C - batch.sampling_logprobs_C).abs().nan_to_num(nan=math.inf)
        self.gap += float(gap_C.sum())
        self.gap_tokens += len(gap_C)
        self.gap_max = max(self.gap_max, float(gap_C.max()))

    def add_step(self, outputs: Sequence[LossOutput]) -> None:
        """The parts of a step that was taken."""
        self.steps += 1
        for output in outputs:
            self.loss += float(output.loss)
            self.trained_tokens += float(output.tokens)
            for name, value in output.metrics.items():
                self.metrics[name] = self.metrics.get(name, 0.0) + float(value)

    def over(self, ranks: Ranks) -> Tally:
        """Of all ranks together; steps and norms, which are those of the whole step, are each rank's already.

        Raises DataError on all ranks where the loss measured other things on another.
        """
        names = sorted(self.metrics)
        mine = float(zlib.crc32("\n".join(names).encode()))
        largest, *same = ranks.largest([self.gap_max, mine, -mine])
        if same != [mine, -mine]:
            raise DataError("the loss gave its metrics other names on another rank: give all in every micro-batch")
        total = replace(self, gap_max=largest)
        sums = ranks.sums([*(getattr(self, name) for name in SUMMED), *(self.metrics[name] for name in names)])
        for name, value in zip(SUMMED, sums, strict=False):
            setattr(total, name, value)
        total.metrics = dict(zip(names, sums[len(SUMMED) :], strict=True))
        return total

    def report(self, kind: UpdateKind, counts: Sequence[Counts], lr: float) -> UpdateReport:
        tokens = max(1.0, self.trained_tokens)
        return UpdateReport(
            kind=kind,
            loss=self.loss / max(1, self.steps),
            tokens=sum(count.tokens for count in counts),
            sequences=sum(count.sequences for count in counts),
            grad_norm=self.grad_norm,
            logprob_gap_mean=self.gap / max(1.0, self.gap_tokens),
            logprob_gap_max=self.gap_max,
            lr=lr,
            steps=self.steps,
            skipped=self.skipped,
            refused=self.refused,
            metrics={name: value / tokens for name, value in self.metrics.items()},
        )


@contextmanager
def ready_to_train(model: PreTrainedModel, optimizer: torch.optim.Optimizer, lr: float) -> Iterator[None]:
    """Set the rate, and leave no gradient behind, whatever happens inside.

    Evaluation mode: dropout would draw from the global generator and move the log-probabilities off the sampler's.
    """
    model.eval()
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    try:
        yield
    finally:
        optimizer.zero_grad(set_to_none=True)


def optimizer_step(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    parts: Iterable[LossOutput],
    *,
    config: AdamConfig,
    tally: Tally,
    check: Callable[[], None],
) -> bool:
    """Whether the step was taken. ``parts`` are the losses of its micro-batches, computed as they are asked for.

    Gradients add up over the parts, in the parameters' float32 whatever the forward pass is in, and are clipped once.
    A gradient norm that is not finite, above ``skip_above`` or above ``skip_spike`` times the usual one leaves weights
    and moments as they are; of a sharded model it is the norm over all ranks, so that all decide alike. What became of
    the step enters the tally and the optimizer's own history.
    """
    outputs = []
    for part in parts:
        part.loss.backward()  # type: ignore[no-untyped-call]
        outputs.append(part.detached())
        check()
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    norm = whole(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
    grad_norm = float(norm)
    history = history_of(optimizer)
    reason = refusal(grad_norm, config, history)
    if reason is None:
        torch.nn.utils.clip_grads_with_norm_(parameters, config.grad_clip, norm)
        optimizer.step()
        history.take(grad_norm)
        tally.add_step(outputs)
    else:
        log.warning("optimizer step refused: gradient norm %g %s", grad_norm, reason)
        history.refused += 1
        tally.refused += 1
    if math.isfinite(grad_norm):
        tally.grad_norm = max(tally.grad_norm, grad_norm)
    optimizer.zero_grad(set_to_none=True)
    return reason is None


def skip_steps(optimizer: torch.optim.Optimizer, count: int, tally: Tally) -> None:
    """Count optimizer steps that are not taken because nothing in them has signal."""
    history_of(optimizer).skipped += count
    tally.skipped += count


def refusal(grad_norm: float, config: AdamConfig, history: StepHistory) -> str | None:
    """Why a step with this gradient norm is not taken, e.g. ``"is not finite"``; None when it is.

    The median of the steps taken is the usual norm: refused ones do not raise it. Before ``SPIKE_NEEDS`` steps were
    taken there is no usual norm and nothing is a spike.
    """
    if not math.isfinite(grad_norm):
        return "is not finite"
    if config.skip_above is not None and grad_norm > config.skip_above:
        return f"is above skip_above={config.skip_above:g}"
    if config.skip_spike is not None and len(history.norms) >= SPIKE_NEEDS:
        usual = statistics.median(history.norms)
        if grad_norm > config.skip_spike * usual:
            return f"is above skip_spike={config.skip_spike:g} times the usual {usual:g}"
    return None
