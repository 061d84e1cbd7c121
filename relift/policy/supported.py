"""Which models engine and trainer compute, found out before a run does any work.

    settings        require_plain: by name, before weights are read
    weights         require_same: random sequences through the engine and through the trainer, against
                    the model by itself: the library's plainest attention, one sequence, no cache

Both compute attention their own way, so a pattern that they do not know would give other numbers without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from relift import randomness
from relift.errors import ModelError, ReliftError
from relift.learning import micro_batches, rollout_sequence, token_logprobs
from relift.learning.attention import NAME, WAY_OUT, require_known_layers, use_packed_attention
from relift.learning.forward import plain_logprobs, require_linear_head
from relift.learning.packing import can_share_prompts
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.transformers_engine import TransformersEngine
from relift.records import Completion, Purpose, Question, TrainingSequence

log = logging.getLogger(__name__)

PROMPT_TOKENS = (3, 9, 17)
"""Of unlike length, so that the engine pads; the second and the third are long enough to be shared in the trainer."""
COMPLETION_TOKENS = 6
SAMPLES = 3
LONGEST_WINDOW = 256
"""Sequences of a model with a window up to here are made longer than it."""
MAX_GAP = 0.01
"""Nats in float32, of any token: rounding is a thousand times less in small models, a few times in large ones."""


def require_plain(config: Any, name: str) -> None:
    """Raises ModelError for a model whose settings name something that engine or trainer would leave out."""
    kind = config.model_type
    if config.get_text_config() is not config:
        raise ModelError(
            f"policy.model={name!r} ({kind}) is more than a language model. Save its text part alone, with the "
            f"tokenizer, as a model of its own (of the kind {config.get_text_config().model_type}). {WAY_OUT}"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise ModelError(
            f"policy.model={name!r} ({kind}) holds quantised weights, which cannot be trained. Use the model that it "
            f"was made from, in float32, float16 or bfloat16."
        )
    if (cap := getattr(config, "attn_logit_softcapping", None)) is not None:
        raise ModelError(
            f"policy.model={name!r} ({kind}) caps its attention scores (attn_logit_softcapping={cap!r}), which neither "
            f"engine nor trainer does: log-probabilities would not be the model's. {WAY_OUT}"
        )
    require_known_layers(config)
    require_linear_head(config)
    _require_replaceable(config, name)


def require_same(model: Any, name: str, *, vocabulary: int, pad_id: int, context: int) -> None:
    """Raises ModelError when the engine or, on a CPU, the trainer computes other log-probabilities than the model.

    In float32. On a GPU the trainer's attention is compiled for a kind of product, so there the self-check of the first
    update looks at it.
    """
    with _named(model, name):
        _ask_for_masks(model)
        prompts = _prompts(model.config, vocabulary, context)
        request = SamplingRequest(
            samples=SAMPLES,
            max_tokens=COMPLETION_TOKENS,
            temperature=1.0,
            seed=0,
            iteration=0,
            purpose=Purpose.PROBE,
            version=0,
        )
        engine = TransformersEngine(
            model, pad_id=pad_id, stop_ids=(), vocabulary=vocabulary, decode=lambda ids: "", max_rows=64
        )
        groups = engine.sample(prompts, request)
        pairs = [(p, c) for p, group in zip(prompts, groups, strict=True) for c in group]
        sequences = [rollout_sequence(p.token_ids, p.question.id, c) for p, c in pairs]
        with _plainest(model):
            expected = [
                plain_logprobs(model, s, 1.0, vocabulary, len(c.token_ids))
                for s, (_, c) in zip(sequences, pairs, strict=True)
            ]
        _require_near(model, name, "engine", _sampled(pairs), expected)
        if can_share_prompts(model.device):
            _require_near(model, name, "trainer", _trained(model, sequences, vocabulary), expected)


def _require_replaceable(config: Any, name: str) -> None:
    """Raises ModelError for an architecture whose attention is its own, or that is no causal language model."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    architecture = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if architecture is None:
        raise ModelError(
            f"policy.model={name!r} ({config.model_type}) is no causal language model that transformers knows: there "
            f"is nothing to sample from. {WAY_OUT}"
        )
    if not (architecture._supports_sdpa and architecture.is_backend_compatible()):
        raise ModelError(
            f"policy.model={name!r} ({config.model_type}) computes attention by code of its own (biases by distance, "
            f"states, attention sinks, ...), which engine and trainer would not. {WAY_OUT}"
        )


def _ask_for_masks(model: Any) -> None:
    """Let the library make a mask for every layer, as a padded row needs one: our attention compares it with the window
    that the layer names, however long that is."""
    token_ids_BT = torch.zeros((1, 4), dtype=torch.long, device=model.device)
    mask_BT = torch.tensor([[0, 1, 1, 1]], device=model.device)
    use_packed_attention(model)
    with torch.no_grad():
        model.eval()(input_ids=token_ids_BT, attention_mask=mask_BT, use_cache=False)


def _prompts(config: Any, vocabulary: int, context: int) -> list[Prompt]:
    window = getattr(config, "sliding_window", None) or 0
    longest = window + 2 if max(PROMPT_TOKENS) <= window <= LONGEST_WINDOW else max(PROMPT_TOKENS)
    lengths = {max(1, min(length, context - COMPLETION_TOKENS)) for length in (*PROMPT_TOKENS[:-1], longest)}
    made = []
    for length in sorted(lengths):
        drawn = randomness.generator(0, "supported", length).integers(vocabulary, size=length)
        question = Question(id=f"supported-{length}", text="?", answer="1", source="supported")
        made.append(Prompt(question, tuple(int(i) for i in drawn)))
    return made


def _sampled(pairs: Sequence[tuple[Prompt, Completion]]) -> list[torch.Tensor]:
    return [torch.tensor(completion.logprobs) for _, completion in pairs]


def _trained(model: Any, sequences: Sequence[TrainingSequence], vocabulary: int) -> list[torch.Tensor]:
    budget = sum(len(s.token_ids) for s in sequences)
    found: dict[int, torch.Tensor] = {}
    with torch.no_grad():
        for batch in micro_batches(sequences, max_tokens=budget, share_prompts=True):
            logprobs_C, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=vocabulary, chunk_tokens=64)
            found |= {index: logprobs_C[batch.sequence_C == slot] for slot, index in enumerate(batch.indices)}
    return [found[index] for index in range(len(sequences))]


def _require_near(model: Any, name: str, who: str, found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    if not all(bool(torch.isfinite(e).all()) for e in expected):
        raise ModelError(
            f"policy.model={name!r} gives log-probabilities that are no numbers: its weights are damaged (NaN or "
            f"infinite), or overflow. Download or save the model anew."
        )
    gap = max(float((f.to(e.device) - e).abs().max()) for f, e in zip(found, expected, strict=True))
    if not gap <= MAX_GAP:
        raise ModelError(
            f"policy.model={name!r} ({model.config.model_type}): the {who}'s log-probabilities differ by {gap:.2g} "
            f"nats from those of the model by itself, where rounding allows {MAX_GAP:g}. Its attention or its "
            f"positions are of a kind that relift does not compute. {WAY_OUT}"
        )
    log.debug("%s: the %s is within %.2g nats of the model by itself", name, who, gap)


@contextmanager
def _plainest(model: Any) -> Iterator[None]:
    """The library's eager attention, which leaves nothing out that a model asks of it."""
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(NAME)


@contextmanager
def _named(model: Any, name: str) -> Iterator[None]:
    """Code of an architecture that we do not know fails in ways we do not know: here that is one error."""
    try:
        yield
    except (ReliftError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as problem:
        raise ModelError(
            f"policy.model={name!r} ({model.config.model_type}) fails in a forward pass as engine and trainer make "
            f"them: {type(problem).__name__}: {str(problem).strip().splitlines()[0] if str(problem) else ''}. {WAY_OUT}"
        ) from problem
