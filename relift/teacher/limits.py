"""What keeps requests within a teacher's limits: a rate, and a pause that all share. For one event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]

FAILURES_TO_BE_DOWN = 3
"""Requests in a row without an answer, beyond those under way together, after which a teacher is taken to be down."""
LONGEST_PAUSE_SECONDS = 60.0
"""Of our own choice; a server that asks for a longer one is taken to be down."""


class RateLimiter:
    """Spreads amounts evenly, so that the limit holds over any minute, but for the size of one amount.

    Example: 60 requests a minute start one second apart.
    """

    def __init__(self, per_minute: float | None, clock: Clock = time.monotonic) -> None:
        self._seconds_each = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._next = 0.0

    def reserve(self, amount: float) -> float:
        """Seconds to wait until this amount may be sent; the next one is then due later."""
        start = max(self._clock(), self._next)
        self._next = start + amount * self._seconds_each
        return start - self._clock()

    def give_back(self, amount: float) -> None:
        """Of what was reserved and not used."""
        self._next -= amount * self._seconds_each


class Pause:
    """All requests wait together where the server asks for it, or where nothing answers any more."""

    def __init__(self, first_seconds: float, together: int = 1, clock: Clock = time.monotonic) -> None:
        """``together``: requests under way at the same time, which may fail by chance at the same time."""
        self.failures_in_a_row = 0
        self.last_failure = ""
        self.is_refused = False
        """Whether the teacher took no request of ours and has answered none since, so that all would fail alike."""
        self.longest_asked = 0.0
        """Seconds; the longest pause that the server asked for since it last answered."""
        self._first = first_seconds
        self._enough = FAILURES_TO_BE_DOWN + together - 1
        self._clock = clock
        self._until = 0.0
        self._pauses = 0

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._until - self._clock())

    @property
    def is_down(self) -> bool:
        return self.is_refused or self.longest_asked > LONGEST_PAUSE_SECONDS or self.failures_in_a_row >= self._enough

    def succeeded(self) -> None:
        self.failures_in_a_row = self._pauses = 0
        self.is_refused = False
        if not self.seconds_left:  # else it was under way already when the server asked for the pause
            self.longest_asked = 0.0

    def failed(self, failure: str, retry_after: float | None, *, is_refused: bool = False) -> None:
        """``retry_after``: seconds the server asked for. Without it the pause doubles while nothing answers.

        ``is_refused``: once is enough to be down, since this is no fault of a moment.
        """
        self.failures_in_a_row += 1
        self.last_failure = failure
        self.is_refused |= is_refused
        self.longest_asked = max(self.longest_asked, retry_after or 0.0)
        seconds = retry_after
        # Requests that were under way together fail together: they are one pause, not many.
        if seconds is None and self.is_down and not self.seconds_left:
            seconds = backoff(self._first, self._pauses)
            self._pauses += 1
        if seconds is not None:
            self._until = max(self._until, self._clock() + seconds)


def backoff(first_seconds: float, attempt: int) -> float:
    """0.5, 1, 2, 4 ... at most a minute."""
    return float(min(LONGEST_PAUSE_SECONDS, first_seconds * 2 ** min(attempt, 30)))
