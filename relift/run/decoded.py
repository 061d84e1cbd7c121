"""The recorded rollouts of the newest iteration, decoded once for all phases that read them."""

from __future__ import annotations

from collections.abc import Callable

from relift.records import Completion, PhaseRef, RolloutGroup

Recorded = list[tuple[str, int, Completion]]
"""(question id, sample, completion) in the recorded order."""


class DecodedRollouts:
    """Of one iteration, known by the digests of its phases; asked for another's, it forgets before it decodes.

    Nobody changes what it returns.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._completions: tuple[str | None, Recorded] = (None, [])
        self._groups: tuple[str | None, list[RolloutGroup]] = (None, [])

    def holds(self, rollouts: PhaseRef) -> bool:
        return self._completions[0] == rollouts.sha256

    def completions(self, rollouts: PhaseRef, decode: Callable[[], Recorded]) -> Recorded:
        if not self.holds(rollouts):
            self.forget()
            self._completions = (rollouts.sha256, decode())
        return self._completions[1]

    def groups(self, verdicts: PhaseRef, decode: Callable[[], list[RolloutGroup]]) -> list[RolloutGroup]:
        """Of the completions that are held and their verdicts."""
        if self._groups[0] != verdicts.sha256:
            self._groups = (verdicts.sha256, decode())
        return self._groups[1]
