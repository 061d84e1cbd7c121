"""What must hold after the trainer's weights went to an engine with a copy of its own.

    trainer (float32) --cast, padding rows cut--> engine's weights
             `--sum of bits--------- equal? -----'      |
             `--log-probabilities--- near? --- a few sampled sequences

The sum of bits finds the smallest stale weight, the log-probabilities whatever else differs: order, cache, kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from relift.config import ChecksConfig, PolicyConfig
from relift.errors import SelfCheckFailed
from relift.learning import micro_batches, rollout_sequence, token_logprobs
from relift.policy.lora import merged
from relift.policy.model import autocast
from relift.records import Completion, FinishReason

# Of the mean |trainer - engine| log-probability in nats, where checks.max_handover_gap sets none. Measured on a CPU:
# 1e-6 in float32; in bfloat16, whose engine rounds what the trainer adds up in float32, 0.014 to 0.020 (3, 28 layers).
MAX_GAP = {"float32": 1e-4, "bfloat16": 0.05}

CHUNK_TOKENS = 512
"""Of a probe's tokens, how many have their logits at once."""


def engine_weights(model: Any, vocabulary: int) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every weight, each once, adapters merged, without the rows that only pad the vocabulary.

    An engine that does not know the padding cannot sample it, at no cost per token.
    """
    tables = {id(t.weight) for t in (model.get_input_embeddings(), model.get_output_embeddings()) if t is not None}
    padded = {name for name, parameter in model.named_parameters() if id(parameter) in tables}
    for name, weight in merged(model, model.named_parameters()):
        yield name, weight.detach()[:vocabulary] if name in padded else weight.detach()


def sum_of_bits(weights: Iterable[Tensor], dtype: torch.dtype) -> int:
    """Sum of the bit patterns, as integers, of all numbers after a cast to ``dtype``.

    It does not depend on the order, so an engine may join matrices (query, key and value) and pad them with zeros.
    """
    integers = {4: torch.int32, 2: torch.int16}[dtype.itemsize]
    return sum(int(w.detach().to(dtype).contiguous().view(integers).sum(dtype=torch.int64)) for w in weights)


def require_same_weights(sent: int, found: int, version: int | None) -> None:
    """Raises SelfCheckFailed when the engine holds other numbers than those it was sent."""
    if sent != found:
        raise SelfCheckFailed(
            f"after the hand-over of policy version {version} the engine holds other weights than the trainer (sum of "
            f"their bits {found}, sent {sent}): the rollouts would be another policy's. This model's weights may be "
            f"rearranged by the engine in a way relift does not know: set rollout.engine to 'transformers'."
        )


@torch.no_grad()
def logprob_gap(
    model: Any,
    sampled: Sequence[tuple[tuple[int, ...], Completion]],
    config: PolicyConfig,
    *,
    temperature: float,
    vocabulary: int,
) -> float:
    """Mean |trainer - engine| log-probability, in nats, of the completions after their prompts."""
    sequences = [rollout_sequence(prompt_ids, "", completion) for prompt_ids, completion in sampled]
    total, count = 0.0, 0
    budget = len(sequences) * max(len(s.token_ids) for s in sequences)
    with autocast(config, str(model.device)):
        for batch in micro_batches(sequences, max_tokens=budget):
            there = batch.to(model.device)
            logprobs_C, _ = token_logprobs(
                model, there, temperature=temperature, vocabulary=vocabulary, chunk_tokens=CHUNK_TOKENS
            )
            assert there.sampling_logprobs_C is not None
            total += float((logprobs_C - there.sampling_logprobs_C).abs().sum())
            count += len(logprobs_C)
    return total / count


def require_small_gap(gap: float, checks: ChecksConfig, dtype: str, version: int | None) -> None:
    """Raises SelfCheckFailed when engine and trainer do not compute the same policy."""
    limit = checks.max_handover_gap or MAX_GAP[dtype]
    if not gap <= limit:  # NaN is refused too
        raise SelfCheckFailed(
            f"after the hand-over of policy version {version} the engine's log-probabilities differ from the trainer's "
            f"by {gap:.2g} nats on average, more than {limit:g} (checks.max_handover_gap): the engine computes another "
            f"policy. Try rollout.engine='transformers'; raise the bound only if the model's kernels are known to "
            f"differ that much."
        )


def probe_completion(token_ids: Sequence[int], logprobs: Sequence[float], version: int) -> Completion:
    """What a probe sampled, as a completion: cut by design, its text of no interest."""
    return Completion(
        token_ids=tuple(token_ids),
        logprobs=tuple(logprobs),
        text="",
        finish_reason=FinishReason.LENGTH,
        policy_version=version,
    )
