"""What a run tells while it works."""

from __future__ import annotations

import json
import time
from pathlib import Path

from relift.progress import PhaseClock, Progress, last_iteration
from relift.records import IterationReport


def report(iteration: int) -> IterationReport:
    return IterationReport(
        iteration=iteration,
        questions=1,
        rollouts=2,
        tokens=3,
        accuracy=0.5,
        statuses={},
        unsolved=0,
        solved_all=0,
        buffer=0,
        taught=0,
        updates=(),
        seconds={},
    )


def test_metrics_hold_each_iteration_once_however_often_it_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    progress = Progress()
    for iteration in (0, 1, 1, 0, 2):
        progress.iteration(path, report(iteration), [])
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [0, 1, 2]


def test_a_line_that_a_crash_cut_short_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    Progress().iteration(path, report(0), [])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"iteration": 1, "ques')
    assert last_iteration(path) == 0
    Progress().iteration(path, report(1), [])
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [0, 1]


def test_phases_side_by_side_are_not_counted_twice_in_the_busy_time() -> None:
    clock = PhaseClock()
    first = clock.begin()
    second = clock.begin()
    time.sleep(0.05)
    clock.end("source", second)
    clock.end("rl_update", first)
    taken = clock.take()
    assert taken.keys() == {"source", "rl_update"}
    assert clock.busy_seconds < 0.75 * sum(taken.values())
    assert clock.take() == {}
