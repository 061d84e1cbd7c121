"""What is resolved from machine and questions, once, at the start of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace


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
