"""What long work is told when it has to stop."""

from __future__ import annotations

import pytest

from relift.errors import Interrupted, RunError
from relift.interrupt import StopFlag


def test_a_request_to_stop_says_how_to_go_on() -> None:
    stop = StopFlag()
    stop.check()
    stop.set()
    with pytest.raises(Interrupted, match="run the same command again"):
        stop.check()


def test_a_reason_that_is_not_the_users_is_raised_as_it_is_and_the_first_one_stays() -> None:
    stop = StopFlag()
    stop.set(RunError("the lease was taken over"))
    stop.set()
    stop.set(RunError("and again"))
    assert stop.is_set
    with pytest.raises(RunError, match="the lease was taken over"):
        stop.check()
