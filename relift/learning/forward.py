"""Log-probabilities of the trained tokens, and how far packing moves them.

Shapes: P tokens packed, C of them in the loss, T tokens of one sequence, D hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from relift.errors import ModelError
from relift.learning.attention import WAY_OUT, packed_hidden_states
from relift.learning.batching import MicroBatch, micro_batches
from relift.learning.branches import Span
from relift.learning.head import Entropy, logprobs_and_entropy, most_likely
from relift.learning.packing import Packing, can_share_prompts
from relift.records import TrainingSequence

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD_SCALES = ("final_logit_softcapping", "logits_scaling", "logit_scale", "lm_head_multiplier")
"""Settings by which models do more to their logits than one linear layer (Gemma, Granite, Cohere, Falcon-H1)."""


def token_logprobs(
    model: PreTrainedModel,
    batch: MicroBatch,
    *,
    temperature: float,
    vocabulary: int,
    chunk_tokens: int,
    entropy: Entropy = Entropy.NONE,
    targets_CN: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """(C,) log-probability of each token in the loss, in nats, and the (C,) entropy it was drawn at, if asked for.

    With ``targets_CN`` the first is (C, N): of these tokens, where each token in the loss is predicted.
    Both come from the logits of the first ``vocabulary`` ids divided by ``temperature``, in float32: padding of the
    vocabulary is never sampled, so it may hold no mass here either. Only the hidden states that predict a token in the
    loss go through the head, ``chunk_tokens`` at a time.

    Raises ModelError for a model whose attention cannot keep packed sequences apart or whose head is not linear.
    """
    weight_VD, bias_V = _head(model)
    hidden_PD = _hidden_states(model, batch)
    return logprobs_and_entropy(
        hidden_PD.index_select(0, batch.predictors_C),
        weight_VD,
        bias_V,
        batch.targets_C if targets_CN is None else targets_CN,
        temperature=temperature,
        vocabulary=vocabulary,
        chunk_tokens=chunk_tokens,
        entropy=entropy,
    )


@torch.no_grad()
def most_likely_tokens(
    model: PreTrainedModel, batch: MicroBatch, *, count: int, vocabulary: int, chunk_tokens: int
) -> tuple[Tensor, Tensor]:
    """(C, N) log-probabilities and ids of the ``count`` likeliest tokens where each token in the loss is predicted."""
    hidden_CD = _hidden_states(model, batch).index_select(0, batch.predictors_C)
    return most_likely(hidden_CD, *_head(model), count=count, vocabulary=vocabulary, chunk_tokens=chunk_tokens)


@torch.no_grad()
def packing_error(
    model: PreTrainedModel,
    sequences: Sequence[TrainingSequence],
    *,
    temperature: float,
    vocabulary: int,
    chunk_tokens: int,
    max_tokens: int,
) -> float:
    """Largest |packed - alone| log-probability of a token in the loss, in nats: rounding, for a model we can train.

    Alone means: one sequence through the model as the library runs it, its own attention, masks and head. To hold no
    more logits than training does, only the last ``chunk_tokens`` tokens of each sequence are compared. Infinite when
    either is not a number. Raises ModelError as ``token_logprobs`` does.
    """
    worst = 0.0
    share = can_share_prompts(model.device)
    for batch in micro_batches(sequences, max_tokens=max_tokens, share_prompts=share):
        there = batch.to(model.device)
        packed_C, _ = token_logprobs(
            model, there, temperature=temperature, vocabulary=vocabulary, chunk_tokens=chunk_tokens
        )
        for slot, index in enumerate(batch.indices):
            alone_T = plain_logprobs(model, sequences[index], temperature, vocabulary, chunk_tokens)
            skipped = len(sequences[index].token_ids) - len(alone_T)
            in_loss_T = torch.tensor(sequences[index].loss_mask[skipped:], dtype=torch.bool)
            alone = alone_T[in_loss_T.to(alone_T.device)]
            packed = packed_C[there.sequence_C == slot][-len(alone) :] if len(alone) else alone
            gap = (packed - alone).abs().nan_to_num(nan=torch.inf)
            worst = max(worst, float(gap.max()) if len(gap) else 0.0)
    return worst


def _hidden_states(model: PreTrainedModel, batch: MicroBatch) -> Tensor:
    """(P, D) final states. An empty micro-batch goes through the layers too, as other ranks gather weights with it."""
    token_ids_P, positions_P = batch.token_ids_P, batch.positions_P
    if not batch.spans:
        token_ids_P = positions_P = token_ids_P.new_zeros(1)  # one token, whose state nobody reads
    packing = Packing(batch.spans or (Span(start=0, stop=1),), token_ids_P.device)
    return packed_hidden_states(model, token_ids_P, positions_P, packing)


@torch.no_grad()
def plain_logprobs(
    model: PreTrainedModel, sequence: TrainingSequence, temperature: float, vocabulary: int, count: int
) -> Tensor:
    """(T,) log-probabilities of the last ``count`` tokens of a sequence, or of all but its first.

    As the library runs the model: one sequence, no cache, its own masks and head.
    """
    count = min(count, len(sequence.token_ids) - 1)
    token_ids_1T = torch.tensor([sequence.token_ids], device=model.device)
    logits_TV = model(input_ids=token_ids_1T, use_cache=False, logits_to_keep=count + 1).logits[0, :-1, :vocabulary]
    kind = torch.promote_types(logits_TV.dtype, torch.float32)
    logprobs_TV = torch.log_softmax(logits_TV.to(kind) / temperature, dim=-1)
    targets_T = token_ids_1T[0, len(sequence.token_ids) - count :]
    return logprobs_TV.gather(1, targets_T.unsqueeze(1)).squeeze(1)


def _head(model: PreTrainedModel) -> tuple[Tensor, Tensor | None]:
    """(V, D) weight and (V,) bias of the model's head. Raises ModelError when it is more than one linear layer."""
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise ModelError(
            f"the head of {model.config.model_type} is {type(head).__name__}, not one linear layer, so its logits "
            f"cannot be computed in chunks. {WAY_OUT}"
        )
    require_linear_head(model.config)
    return head.weight, head.bias


def require_linear_head(config: Any) -> None:
    """Raises ModelError for a model that does more to its logits than one linear layer; looks at settings alone."""
    for name in HEAD_SCALES:
        value = getattr(config, name, None)
        if value is not None and value != 1:
            raise ModelError(
                f"{config.model_type} changes its logits by {name}={value!r}, which the trainer does not do, so its "
                f"log-probabilities would not be the model's. {WAY_OUT}"
            )
