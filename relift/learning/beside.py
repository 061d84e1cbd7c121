"""What stands beside the groups of an RL step, each a term of its own: demonstrations, and rollouts that are distilled.

Shapes: C tokens in the loss of a micro-batch, N likeliest tokens of the start model at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relift.learning.forward import most_likely_tokens
from relift.learning.losses import Counts, LossOutput, distillation_term, supervised_term
from relift.learning.passes import Forward
from relift.learning.sharding import ALONE
from relift.records import TrainingSequence

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LIKELIEST = 20
"""Tokens of the start model that are distilled, at each position."""
Start = Callable[[], AbstractContextManager["PreTrainedModel"]]


def is_beside(sequence: TrainingSequence) -> bool:
    return sequence.supervision is not None or sequence.distillation is not None


def parts_beside(forward: Forward, sequences: Sequence[TrainingSequence], start: Start | None) -> Iterator[LossOutput]:
    """The losses of a step's sequences of either kind, computed as they are asked for; ``start`` as in ``Conduct``."""
    yield from _supervised_parts(forward, [one for one in sequences if one.supervision is not None])
    if distilled := [one for one in sequences if one.distillation is not None]:
        assert start is not None, "what is distilled is distilled from the start model"
        yield from _distilled_parts(forward, distilled, start)


def _supervised_parts(forward: Forward, lessons: Sequence[TrainingSequence]) -> Iterator[LossOutput]:
    count = Counts.of(lessons).tokens
    for batch in forward.split(lessons):
        supervisions = [found for index in batch.indices if (found := lessons[index].supervision) is not None]
        logprobs_C, _ = forward.logprobs(batch)
        yield supervised_term(logprobs_C, batch.sequence_C, supervisions, token_count=count)


def _distilled_parts(forward: Forward, rollouts: Sequence[TrainingSequence], start: Start) -> Iterator[LossOutput]:
    count = Counts.of(rollouts).tokens
    for batch in forward.split(rollouts):
        mine = [rollouts[index] for index in batch.indices]
        with start() as model:
            teacher_CN, ids_CN = _likeliest(replace(forward, model=model, ranks=ALONE), mine)
        logprobs_CN, _ = forward.logprobs(batch, targets_CN=ids_CN)
        weights_S = logprobs_CN.new_tensor([one.distillation.weight for one in mine if one.distillation])
        yield distillation_term(logprobs_CN, teacher_CN, weights_S[batch.sequence_C], token_count=count)


def _likeliest(start: Forward, rollouts: Sequence[TrainingSequence]) -> tuple[Tensor, Tensor]:
    """(C, N) log-probabilities and ids of the start model where it reads these rollouts after prompts of its own, in
    their order."""
    if not rollouts:  # of a micro-batch that only gives every rank as many
        empty = torch.empty(0, LIKELIEST, device=start.model.device)
        return empty, empty.long()
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for batch in start.split([_reread(rollout) for rollout in rollouts]):
        sizes = start.sizes
        logprobs_CN, ids_CN = most_likely_tokens(
            start.model, batch, count=LIKELIEST, vocabulary=sizes.vocabulary, chunk_tokens=sizes.chunk_tokens
        )
        for position, index in enumerate(batch.indices):
            mine_C = batch.sequence_C == position
            found[index] = logprobs_CN[mine_C], ids_CN[mine_C]
    logprobs, ids = zip(*(found[index] for index in sorted(found)), strict=True)
    return torch.cat(logprobs), torch.cat(ids)


def _reread(rollout: TrainingSequence) -> TrainingSequence:
    """A rollout as the start model reads it."""
    assert rollout.distillation is not None
    prompt, tokens = rollout.distillation.prompt_ids, rollout.loss_tokens
    return TrainingSequence(
        question_id=rollout.question_id,
        token_ids=prompt + rollout.token_ids[-tokens:],
        loss_mask=(0,) * len(prompt) + (1,) * tokens,
    )
