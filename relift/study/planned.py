"""A run that a study still wants."""

from __future__ import annotations

from dataclasses import dataclass

from relift.study.study import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run that is to be done, e.g. of method ``"relift"`` and seed 101."""

    method: Method
    seed: int
    again: bool = False
    """Its result stands; it is done once more, to see whether it comes out the same."""

    @property
    def key(self) -> tuple[str, int]:
        return self.method.name, self.seed

    def __str__(self) -> str:
        return f"{self.method.name}-{self.seed}"
