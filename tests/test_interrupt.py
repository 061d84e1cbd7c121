"""What long work is told when it has to stop."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relift.errors import Interrupted, RunError
from relift.interrupt import StopFlag
from relift.opening.run import open_run
from tests.small_run import small_config


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


def test_what_had_better_end_may_take_a_while_longer() -> None:
    stop = StopFlag()
    stop.check(after_seconds=0.2)
    stop.set()
    stop.check(after_seconds=0.2)
    time.sleep(0.21)
    stop.set()  # a second request does not give more time
    with pytest.raises(Interrupted):
        stop.check(after_seconds=0.2)


def test_a_run_that_is_asked_to_stop_publishes_what_takes_moments_and_waits_for_nothing_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(small_config(tmp_path / "runs"), "small") as run:
        run.stop.set()
        run.publish()
        published = run.snapshot_path.stat().st_mtime_ns
        monkeypatch.setattr("relift.run.session.SNAPSHOT_SECONDS", 0.0)
        run.publish_beside()
        with pytest.raises(Interrupted):
            run.publish()
        assert run.snapshot_path.stat().st_mtime_ns == published
