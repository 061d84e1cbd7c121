"""What ends a run is what its user hears."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from flows.session import WithoutTracebacksOfUsers, watched
from relift.errors import Interrupted, SelfCheckFailed, StoreError
from relift.interrupt import StopFlag


class Unpublishable:
    """A run whose store went away."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem
        self.stop = StopFlag()
        self.statuses: list[str] = []
        self.ledger = SimpleNamespace(set_status=self.statuses.append)

    def end(self, status: str) -> None:
        self.statuses.append(status)
        raise self.problem

    def complete(self) -> None:
        raise AssertionError("it did not come to its end")


@pytest.mark.parametrize(
    ("ended_by", "status"), [(Interrupted("stopped"), "interrupted"), (SelfCheckFailed("a gap"), "failed")]
)
@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (StoreError("the server did not answer"), "not published, the ledger itself is kept: the server did not"),
        (Interrupted("it takes too long"), "the snapshot that readers open is of an earlier moment"),
    ],
)
def test_a_last_snapshot_that_cannot_be_published_hides_nothing(
    caplog: pytest.LogCaptureFixture, ended_by: Exception, status: str, problem: Exception, said: str
) -> None:
    run = Unpublishable(problem)

    async def work() -> None:
        async with watched(run):
            raise ended_by

    with pytest.raises(type(ended_by), match=str(ended_by)):
        asyncio.run(work())
    assert run.statuses == ["running", status]
    assert said in caplog.text


@pytest.mark.parametrize(("kind", "is_kept"), [("RunError", False), ("Interrupted", False), ("ValueError", True)])
def test_prefect_does_not_say_again_what_the_command_says(kind: str, is_kept: bool) -> None:
    said = f"Finished in state Failed('Flow run encountered an exception: {kind}: 4 runs failed')"
    record = logging.LogRecord("prefect.flow_runs", logging.ERROR, "", 0, said, (), None)
    assert WithoutTracebacksOfUsers(keep_message=False).filter(record) is is_kept
    assert WithoutTracebacksOfUsers(keep_message=True).filter(record)
