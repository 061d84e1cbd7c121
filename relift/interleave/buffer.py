"""The buffer: hard questions that wait, with a demonstration, for a supervised update.

    add -> waiting -> take -> taken -> used           leaves once the update is committed
              |                 `----> put_back       waits again, in its old position
              |-> evicted   (capacity: the oldest entry leaves for it)
              |-> expired   (not seen unsolved for more than max_age iterations)
              `-> solved_meanwhile   (unless leave_when_solved is off)

    used as often as max_uses allows -> retired: never waits again

Departures from the reference: first unsolved, first taught; a question waits once however often it fails; every way
out has a name and is counted.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from relift.config import BufferConfig


class LeavingReason(StrEnum):
    """Why an entry left the buffer."""

    USED = "used"
    SOLVED_MEANWHILE = "solved_meanwhile"
    EXPIRED = "expired"
    EVICTED = "evicted"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A question that waits, e.g. first_iteration 3, last_iteration 9, failures 2: unsolved in iterations 3 and 9."""

    question_id: str
    demonstration_id: str
    first_iteration: int
    last_iteration: int
    failures: int = 1
    """How often the gate called it hardest while it waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingEvent:
    """A demonstration waits no more, for another reason than being taught, e.g. ``LeavingReason.EXPIRED``.

    The ledger writes it as a ``LeavingRecord``.
    """

    question_id: str
    demonstration_id: str
    reason: LeavingReason


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSnapshot:
    """The buffer at rest. Entries that were taken and not yet committed count as waiting."""

    waiting: tuple[Entry, ...] = ()
    """Oldest first."""
    left: Mapping[str, int] = field(default_factory=dict)
    """Entries that left, by reason."""
    uses: Mapping[str, int] = field(default_factory=dict)
    """Supervised updates that trained on a question, by its id; kept where their number is limited."""

    def to_json(self) -> dict[str, Any]:
        waiting = [dataclasses.asdict(entry) for entry in self.waiting]
        return {"waiting": waiting, "left": dict(self.left), "uses": dict(self.uses)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BufferSnapshot:
        waiting = tuple(Entry(**entry) for entry in data["waiting"])
        return cls(waiting=waiting, left=dict(data["left"]), uses=dict(data.get("uses", {})))


class DemonstrationBuffer:
    """First in, first out, by the iteration a question was first found unsolved; one entry per question."""

    def __init__(self, config: BufferConfig, snapshot: BufferSnapshot | None = None) -> None:
        self._config = config
        self._entries: dict[str, Entry] = {}
        self._taken: set[str] = set()
        self._left: Counter[str] = Counter()
        self._uses: Counter[str] = Counter()
        self._leavings: list[LeavingEvent] = []
        if snapshot is not None:
            self.restore(snapshot)

    def __len__(self) -> int:
        """Entries that wait; those taken for an update are not among them."""
        return len(self._entries) - len(self._taken)

    def __contains__(self, question_id: str) -> bool:
        return question_id in self._entries

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(entry for entry in self._entries.values() if entry.question_id not in self._taken)

    @property
    def left(self) -> Mapping[LeavingReason, int]:
        """How many entries have left, by reason; every reason is present."""
        return {reason: self._left[reason.value] for reason in LeavingReason}

    def add(self, question_id: str, demonstration_id: str, iteration: int) -> bool:
        """Whether the question is new here; one that waits already keeps position and demonstration and is counted."""
        if self.is_retired(question_id):
            return False
        known = self._entries.get(question_id)
        if known is not None:
            self._entries[question_id] = dataclasses.replace(
                known, last_iteration=iteration, failures=known.failures + 1
            )
            return False
        self._entries[question_id] = Entry(
            question_id=question_id,
            demonstration_id=demonstration_id,
            first_iteration=iteration,
            last_iteration=iteration,
        )
        if self._config.capacity is not None and len(self) > self._config.capacity:
            self._leave(self.waiting[0].question_id, LeavingReason.EVICTED)
        return True

    def expire(self, iteration: int) -> None:
        """What was not seen unsolved for more than ``max_age`` iterations leaves."""
        if self._config.max_age is None:
            return
        for entry in self.waiting:
            if iteration - entry.last_iteration > self._config.max_age:
                self._leave(entry.question_id, LeavingReason.EXPIRED)

    def take(self, question_ids: Iterable[str]) -> tuple[Entry, ...]:
        """Entries that wait, for an update. They stay in the snapshot until ``used`` or ``put_back`` names them."""
        batch = tuple(self._entries[question] for question in question_ids)
        for entry in batch:
            assert entry.question_id not in self._taken, f"question {entry.question_id} is taken already"
            self._taken.add(entry.question_id)
        return batch

    def used(self, batch: Iterable[Entry]) -> None:
        """The supervised update on this batch is committed: its entries leave for good."""
        for entry in batch:
            self._leave(self._taken_id(entry), LeavingReason.USED)
            if self._config.max_uses is None:
                continue
            self._uses[entry.question_id] += 1
            if self.is_retired(entry.question_id):
                self._note_leaving(entry, LeavingReason.RETIRED)

    def is_retired(self, question_id: str) -> bool:
        """Whether the question was taught as often as the configuration allows."""
        return self._config.max_uses is not None and self._uses[question_id] >= self._config.max_uses

    def take_leavings(self) -> tuple[LeavingEvent, ...]:
        """Who left untaught since this was last asked, in order; and who was retired."""
        leavings, self._leavings = tuple(self._leavings), []
        return leavings

    def put_back(self, batch: Iterable[Entry]) -> None:
        """The supervised update did not happen: the batch waits again, in its old position."""
        for entry in batch:
            self._taken.remove(self._taken_id(entry))

    def solved(self, question_id: str) -> bool:
        """Whether a waiting question left because a later rollout solved it."""
        if not self._config.leave_when_solved or question_id not in self._entries or question_id in self._taken:
            return False
        self._leave(question_id, LeavingReason.SOLVED_MEANWHILE)
        return True

    def snapshot(self) -> BufferSnapshot:
        left, uses = dict(sorted(self._left.items())), dict(sorted(self._uses.items()))
        return BufferSnapshot(waiting=tuple(self._entries.values()), left=left, uses=uses)

    def restore(self, snapshot: BufferSnapshot) -> None:
        """Become the buffer that the snapshot was taken of."""
        self._entries = {entry.question_id: entry for entry in snapshot.waiting}
        self._taken = set()
        self._left = Counter(snapshot.left)
        self._uses = Counter(snapshot.uses)
        self._leavings = []

    def _leave(self, question_id: str, reason: LeavingReason) -> None:
        entry = self._entries.pop(question_id)
        self._taken.discard(question_id)
        if reason is LeavingReason.USED:
            self._left[reason.value] += 1
        else:
            self._note_leaving(entry, reason)

    def _note_leaving(self, entry: Entry, reason: LeavingReason) -> None:
        self._left[reason.value] += 1
        self._leavings.append(
            LeavingEvent(question_id=entry.question_id, demonstration_id=entry.demonstration_id, reason=reason)
        )

    def _taken_id(self, entry: Entry) -> str:
        assert entry.question_id in self._taken, f"question {entry.question_id} was not taken"
        return entry.question_id
