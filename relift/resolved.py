"""What is resolved from machine and questions, once, at the start of a run (contract 4)."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

from relift.config import RunConfig
from relift.policy.vllm_install import installed_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Stored with the run and used again on resume, since another split is another sum in the last bits."""

    max_rows: int
    """Sequences decoded together."""
    micro_batch_tokens: int
    """Packed tokens of a micro-batch."""
    chunk_tokens: int
    """Tokens whose logits exist at once."""
    threads: int
    device: str
    machine: str
    python: str
    torch: str
    transformers: str
    relift: str
    schedule_iterations: int = 0
    """Iterations that the learning rates' schedules were laid over: those of the run when it began. A run that goes on
    for longer keeps it, since another length would be other rates in iterations that are done. 0 in older runs."""
    vllm: str = ""
    """Empty where another engine samples."""

    def versions(self) -> dict[str, str]:
        """What is only recorded, not used."""
        fields = ("machine", "python", "torch", "transformers", "relift", "vllm", "device")
        return {name: value for name, value in asdict(self).items() if name in fields}

    def on(self, now: Resolved) -> Resolved:
        """The stored sizes with the versions and device of now."""
        return replace(
            now,
            max_rows=self.max_rows,
            micro_batch_tokens=self.micro_batch_tokens,
            chunk_tokens=self.chunk_tokens,
            threads=self.threads,
            schedule_iterations=self.schedule_iterations or now.schedule_iterations,
        )

    def what_may_differ(self, now: Resolved) -> list[str]:
        """One line for each recorded version that is another one now."""
        before, after = self.versions(), now.versions()
        return [f"{name} {before[name]} is now {after[name]}" for name in before if before[name] != after[name]]


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
