"""What passes between the method's state and the phases: a batch, what was decided of it, what is taught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relift.interleave.buffer import Entry
from relift.interleave.fates import ALL_KEPT, Fates
from relift.records import GuidedGroup, RolloutGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The verified rollouts of an iteration, in the order of its questions."""

    iteration: int
    groups: Sequence[RolloutGroup]
    guided: Sequence[GuidedGroup] = ()
    asked_twice: Sequence[GuidedGroup] = ()
    """Sampled beside the batch of questions that a later round then put into it: spent, and used for nothing."""
    trials: Sequence[GuidedGroup] = ()
    """Empty before they were sampled."""
    fates: Fates = ALL_KEPT
    """Of the groups, once the RL update is over; all are kept where it took no step."""
    used: tuple[str, ...] = ()
    """Ids of the demonstrations that it trained on, or whose beginnings led to what it trained on."""
    progress: float = 0.0
    """As in ``Moment``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What gate and rule said of a batch, as question ids, e.g. hardest ``("9f86d081884c7d65",)``, control ``()``."""

    hardest: tuple[str, ...]
    control: tuple[str, ...]
    """Those among the hardest that are never taught."""
    wanted: tuple[str, ...] = ()
    """Teachers are asked for them, and they may be taught."""
    followed: tuple[str, ...] = ()
    """Controls that teachers are asked for, to be followed."""
    mistakes: tuple[tuple[str, str], ...] = ()
    """(question id, wrong completion) of those of which teachers are asked for one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What a supervised update trains on of what waits, e.g. partial_ids None: the demonstration, with its end."""

    entry: Entry
    partial_ids: tuple[int, ...] | None = None
    """Token ids of the part of a solution that stands in its place, without end of sequence."""
