"""One optimizer step out of many micro-batches, and the running sums an update reports."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.config import AdamConfig
from relift.learning.batching import MicroBatch
from relift.learning.losses import Counts, LossOutput
from relift.records import UpdateKind, UpdateReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What an update has done so far; the losses and entropies of steps not taken are left out."""

    steps: int = 0
    skipped: int = 0
    refused: int = 0
    loss: float = 0.0
    trained_tokens: float = 0.0
    entropy: float = 0.0
    clipped_tokens: float = 0.0
    grad_norm: float = 0.0
    gap: float = 0.0
    gap_tokens: float = 0.0
    gap_max: float = 0.0

    def add_gap(self, logprobs_BT: Tensor, batch: MicroBatch) -> None:
        """Compare with the sampler's log-probabilities; a gap that is not a number counts as infinite."""
        if batch.sampling_logprobs_BT is None:
            return
        gap_BT = (logprobs_BT - batch.sampling_logprobs_BT).abs() * batch.mask_BT
        gap_BT = gap_BT.nan_to_num(nan=math.inf)
        self.gap += float(gap_BT.sum())
        self.gap_tokens += float(batch.mask_BT.sum())
        self.gap_max = max(self.gap_max, float(gap_BT.max()))

    def report(self, kind: UpdateKind, counts: Sequence[Counts], lr: float, seconds: float) -> UpdateReport:
        return UpdateReport(
            kind=kind,
            loss=self.loss / max(1, self.steps),
            tokens=sum(count.tokens for count in counts),
            sequences=sum(count.sequences for count in counts),
            grad_norm=self.grad_norm,
            entropy=self.entropy / max(1.0, self.trained_tokens),
            clip_fraction=self.clipped_tokens / max(1.0, self.trained_tokens),
            logprob_gap_mean=self.gap / max(1.0, self.gap_tokens),
            logprob_gap_max=self.gap_max,
            lr=lr,
            seconds=seconds,
            steps=self.steps,
            skipped=self.skipped,
            refused=self.refused,
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

    Gradients add up over the parts and are clipped once. A gradient norm that is not finite or above ``skip_above``
    leaves weights and optimizer as they are.
    """
    outputs = []
    for part in parts:
        part.loss.backward()  # type: ignore[no-untyped-call]
        outputs.append(part.detached())
        check()
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    grad_norm = float(norm)
    limit = math.inf if config.skip_above is None else config.skip_above
    taken = math.isfinite(grad_norm) and grad_norm <= limit
    if taken:
        torch.nn.utils.clip_grads_with_norm_(parameters, config.grad_clip, norm)
        optimizer.step()
        tally.steps += 1
        tally.loss += sum(float(output.loss) for output in outputs)
        tally.trained_tokens += sum(float(output.tokens) for output in outputs)
        tally.entropy += sum(float(output.entropy_sum) for output in outputs)
        tally.clipped_tokens += sum(float(output.clipped_tokens) for output in outputs)
    else:
        log.warning("optimizer step refused: gradient norm %g, limit %g", grad_norm, limit)
        tally.refused += 1
    if math.isfinite(grad_norm):
        tally.grad_norm = max(tally.grad_norm, grad_norm)
    optimizer.zero_grad(set_to_none=True)
    return taken
