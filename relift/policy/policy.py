"""The one copy of the weights that a process holds, and which version it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from relift.errors import SelfCheckFailed
from relift.policy.student import Student
from relift.policy.weights import weights_checksum
from relift.records import PolicyVersion, UpdateKind

log = logging.getLogger(__name__)


class Policy:
    """Model, optimizers and the version they are at (contract 5).

    Updates name versions; whoever needs weights calls ``at(version)``, which makes them resident if they are not: from
    the newest checkpoint at or before the version, plus replay of the recorded updates after it.
    """

    def __init__(
        self,
        model: Any,
        student: Student,
        optimizers: dict[UpdateKind, Any],
        *,
        is_exact: bool = True,
        reference: Any = None,
        warm_start: Any = None,
    ) -> None:
        self.model = model
        self.student = student
        self.optimizers = optimizers
        """By update; the same object twice where they share one."""
        self.is_exact = is_exact
        """Whether a replay must be bit-equal: on a CPU or with deterministic kernels, with the recorded versions."""
        self.reference = reference
        """The start model, frozen; None where nothing is compared with it."""
        self.warm_start = warm_start
        """The optimizer of the warm start, whose state is gone after it; None without one."""
        self._materialise: Callable[[Policy, PolicyVersion], None] | None = None
        self._version: int | None = None

    def materialise_with(self, make: Callable[[Policy, PolicyVersion], None]) -> None:
        """Say how a version that is not resident is made: by the run, which knows checkpoints and recorded updates."""
        self._materialise = make

    @property
    def version(self) -> int | None:
        """Of the resident weights; None when an update left them half done."""
        return self._version

    def at(self, version: PolicyVersion) -> Policy:
        """This policy with that version's weights and optimizer states resident.

        Raises SelfCheckFailed when the weights that come out are not the recorded ones.
        """
        if self._version != version.number:
            assert self._materialise is not None, "a policy outside a run holds its own weights only"
            self._version = None
            self._materialise(self, version)
            self.settle(version)
        return self

    def settle(self, version: PolicyVersion) -> None:
        """Declare the resident weights to be that version, after comparing checksums.

        Where replay is not exact a difference is said and the replayed weights are taken (contract 3).
        """
        found = weights_checksum(self.model)
        if found != version.checksum and not self.is_exact:
            log.warning(
                "policy version %d was replayed to other bits than it was recorded with, as this machine may: the run "
                "goes on from the replayed weights",
                version.number,
            )
        elif found != version.checksum:
            raise SelfCheckFailed(
                f"policy version {version.number} was recorded with weights {version.checksum[:12]}..., replay came to "
                f"{found[:12]}...: another version of relift or torch, another thread count or processor gives other "
                f"roundings. Resume where the run was made, or start anew with --fresh."
            )
        self._version = version.number

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around anything that changes the weights: until it ends well, no version is resident."""
        self._version = None
        yield

    def moved_to(self, number: int) -> str:
        """Declare a new version after an update; its checksum."""
        self._version = number
        return weights_checksum(self.model)
