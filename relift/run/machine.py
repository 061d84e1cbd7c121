"""What is resolved from machine and questions, once, at the start of a run (contract 4)."""

from __future__ import annotations

import platform
from importlib.metadata import version

from relift.config import RunConfig
from relift.config.resolved import Resolved
from relift.policy.vllm_install import installed_version


def resolve_machine(config: RunConfig, *, device: str, vocabulary: int, iterations: int) -> Resolved:
    """Sizes from the recipe where it sets them, else from the kind of device and its free memory."""
    from relift.learning import chunk_tokens_for, free_memory

    on_gpu = device.startswith("cuda")
    tokens = config.policy.max_prompt_tokens + max(config.rollout.max_tokens, config.teacher.max_tokens)
    # Rows decoded together: 64 Ki tokens on a CPU keep a batch of short sequences in one piece, long ones in memory.
    # Micro-batches: 1536 tokens hold most prompts with all their rollouts; an RL update of 2.4 million parameters took
    # 9.0 s, with 768 9.6 s, with 2048 9.0 s, with 4096 9.2 s.
    rows = config.rollout.max_rows or max(config.rollout.samples, (1 << 20 if on_gpu else 1 << 16) // tokens)
    return Resolved(
        max_rows=rows,
        micro_batch_tokens=config.policy.micro_batch_tokens or max(tokens, 16384 if on_gpu else 1536),
        chunk_tokens=chunk_tokens_for(vocabulary, free_memory(device), on_gpu=on_gpu),
        threads=config.policy.threads,
        device=device,
        machine=platform.machine(),
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
        relift=version("relift"),
        schedule_iterations=iterations,
        vllm=installed_version() if config.rollout.engine == "vllm" else "",
    )
