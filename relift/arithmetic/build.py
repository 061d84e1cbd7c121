"""Training of the base model: minutes on one core, the same weights for the same seed, versions and thread count."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from relift.arithmetic.corpus import Line, corpus
from relift.arithmetic.measure import pass_rates
from relift.arithmetic.tokenizer import VOCABULARY_SIZE, build_tokenizer

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

# B lines of a micro-batch, T tokens of them (padded on the right), N trained tokens, V vocabulary

STEPS = 7200
BATCH_SIZE = 48
MICRO_BATCH_SIZE = 16
"""A batch is cut by length into micro-batches, whose sum is its gradient: half of its tokens would be padding."""
PEAK_LR, FINAL_LR_SHARE, WARMUP_STEPS = 2e-3, 0.03, 100
IGNORED = -100
"""Label of a token that is not trained on."""

logger = logging.getLogger(__name__)


def build_base(
    folder: Path, *, seed: int, steps: int = STEPS, progress: Callable[[int, float], None] | None = None
) -> None:
    """Trains the base and writes it as a Hugging Face folder, with ORIGIN.json saying how it came to be.

    ``progress`` is called with the number of steps done and the loss in nats per trained token. The global random
    state is neither read nor moved.
    """
    tokenizer = build_tokenizer()
    model = _new_model(tokenizer, seed)
    _train(model, tokenizer, seed=seed, steps=steps, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    origin = _origin(model, tokenizer, seed=seed, steps=steps)
    (folder / "ORIGIN.json").write_text(json.dumps(origin, indent=1) + "\n")


def _new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2ForCausalLM:
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=256,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        dtype="float32",
        **ends,
    )
    with torch.random.fork_rng(devices=[]):  # the constructor draws from the global generator; its weights are replaced
        model = Qwen2ForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, config.initializer_range, generator=generator)
    model.generation_config = GenerationConfig(**ends)
    return model


def _train(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    steps: int,
    progress: Callable[[int, float], None] | None,
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _lr_share(step, steps))
    lines = corpus(Random(f"arithmetic/corpus/{seed}"))
    model.train()
    for step in range(1, steps + 1):
        loss = 0.0
        for input_ids_BT, labels_BT, trained_count in _micro_batches(lines, tokenizer):
            logits_BTV = model(input_ids=input_ids_BT, use_cache=False).logits[:, :-1]
            nll = F.cross_entropy(
                logits_BTV.flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
            )
            (nll / trained_count).backward()  # type: ignore[no-untyped-call]
            loss += nll.item() / trained_count
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if progress is not None:
            progress(step, loss)
    model.eval()


def _lr_share(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to the final share."""
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    done = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def _micro_batches(lines: Iterator[Line], tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[Tensor, Tensor, int]]:
    """One batch as (B, T) token ids, (B, T) labels and the count of trained tokens in the whole batch.

    Right-padded: under causal attention no token sees the padding after it, so no attention mask is needed.
    """
    encoded = []
    for line in islice(lines, BATCH_SIZE):
        prompt_ids: list[int] = tokenizer.encode(line.prompt)
        completion_ids: list[int] = [*tokenizer.encode(line.completion), tokenizer.eos_token_id]
        encoded.append((prompt_ids + completion_ids, [IGNORED] * len(prompt_ids) + completion_ids))
    encoded.sort(key=lambda pair: len(pair[0]))
    trained_count = sum(label != IGNORED for _, labels in encoded for label in labels)
    for start in range(0, BATCH_SIZE, MICRO_BATCH_SIZE):
        rows = encoded[start : start + MICRO_BATCH_SIZE]
        width = len(rows[-1][0])
        input_ids_BT = [ids + [tokenizer.pad_token_id] * (width - len(ids)) for ids, _ in rows]
        labels_BT = [labels + [IGNORED] * (width - len(labels)) for _, labels in rows]
        yield torch.tensor(input_ids_BT), torch.tensor(labels_BT), trained_count


def _origin(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, *, seed: int, steps: int) -> dict[str, object]:
    import tokenizers
    import transformers

    command = f"relift arithmetic build-base --seed {seed}"
    return {
        "command": command if steps == STEPS else f"{command} --steps {steps}",
        "seed": seed,
        "steps": steps,
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "versions": {module.__name__: module.__version__ for module in (torch, transformers, tokenizers)},
        "held_out_percent_correct": pass_rates(model, tokenizer, seed=seed),
    }
