"""Which question is hardest, and the demonstrations that wait."""

from __future__ import annotations

from pydantic import Field, field_validator

from relift.config.section import Section, Share
from relift.records import Status


class GateConfig(Section):
    """Which groups are called hardest: none correct, and enough rollouts of a counted status."""

    counts: tuple[Status, ...] = (Status.WRONG,)
    """Statuses that make a question hardest. The paper counts wrong, no_answer, malformed and truncated."""
    min_share: Share = 0.5
    """Share of the group that must have a counted status."""

    @field_validator("counts")
    @classmethod
    def _only_answers_count(cls, value: tuple[Status, ...]) -> tuple[Status, ...]:
        never = {Status.CORRECT, Status.TIMEOUT, Status.ERROR, Status.BAD_GOLD} & set(value)
        if never or not value:
            found = ", ".join(sorted(never)) or "nothing"
            raise ValueError(f"gate.counts holds {found}: count some of wrong, no_answer, malformed, truncated")
        return value


class BufferConfig(Section):
    """Demonstrations that wait for a supervised update, oldest first, one per question."""

    capacity: int | None = Field(None, ge=1)
    """The oldest entry is evicted, and counted, when more would wait."""
    max_age: int | None = Field(None, ge=1)
    """Iterations after which an entry expires; empty: never."""
    leave_when_solved: bool = True
    """A question that a later rollout solves waits no more. The reference teaches it all the same."""
    max_uses: int | None = Field(None, ge=1)
    """Supervised updates that may train on a question; it is retired after the last of them. Empty: any number."""


class ProbeConfig(Section):
    """Did teaching work: taught questions and controls are sampled again, and never trained on for it."""

    questions: int = Field(16, ge=1)
    """At most, in an iteration."""
    samples: int = Field(8, ge=1)
    """Completions per question."""
    after: tuple[int, ...] = (1, 5, 20)
    """Iterations after teaching at which a question is due; a control is due with those taught in its stead."""

    @field_validator("after")
    @classmethod
    def _distances_ascend(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or value[0] < 1 or list(value) != sorted(set(value)):
            raise ValueError(
                f"probe.after is {list(value)}: give whole numbers of iterations from 1 on, ascending, such as "
                f"[1, 5, 20]; switch probes off with probe='off'"
            )
        return value
