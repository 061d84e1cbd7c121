"""What a run tells while it works."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from flows.terminal.time_left import read_past
from relift.errors import StoreError
from relift.records import IterationReport, UpdateKind, UpdateReport
from relift.report.data import read_report_data
from relift.run.progress import PhaseClock, Progress, last_iteration, read_metrics


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


@pytest.mark.parametrize(
    "garbage", [b"garbage", b"[1, 2]", b'{"iteration": "one"}', b'{"iteration": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_line_that_is_no_iteration_is_said_with_its_number_by_whatever_reads_it(
    tmp_path: Path, garbage: bytes
) -> None:
    path = tmp_path / "metrics.jsonl"
    Progress().iteration(path, report(0), [])
    path.write_bytes(path.read_bytes() + garbage + b"\n")
    for read in (last_iteration, read_metrics, read_past, lambda _: read_report_data(tmp_path)):
        with pytest.raises(StoreError, match=r"metrics.jsonl line 2 is no iteration .*Remove that line"):
            read(path)


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


def test_what_an_earlier_relift_reported_of_its_loss_is_among_the_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    Progress().iteration(path, report(0), [])
    line = json.loads(path.read_text())
    line["updates"] = [{"kind": "rl", "loss": 0.5, "entropy": 1.5, "clip_fraction": 0.25}]
    path.write_text(json.dumps(line) + "\n")
    (update,) = read_report_data(tmp_path).iterations[0].updates
    assert (update.kind, update.loss, update.metrics) == (UpdateKind.RL, 0.5, {"entropy": 1.5, "clip_fraction": 0.25})
    assert UpdateReport.of(asdict(update)) == update
