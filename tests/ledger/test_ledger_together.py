import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ledger_histories import group, question

from relift.errors import Interrupted
from relift.interrupt import StopFlag
from relift.ledger import Ledger, schema, write_init_script
from relift.ledger.check import check
from relift.records import Purpose
from relift.run.publisher import Publisher

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("writing_child.py")
SECONDS = 2.0

# A person's shell: one connection, open on the snapshot all the time, and one opened anew with the init script.
SHELL = """
import sys, time, duckdb
from pathlib import Path
store, seconds = Path(sys.argv[1]), float(sys.argv[2])
held = duckdb.connect(str(store / "a" / "hard_examples.duckdb"), read_only=True)
asked, slowest, ends = 0, 0.0, time.monotonic() + seconds
first = held.execute("SELECT count(*) FROM attempts").fetchone()
while time.monotonic() < ends:
    began = time.monotonic()
    assert held.execute("SELECT count(*) FROM attempts").fetchone() == first
    with duckdb.connect() as client:
        client.execute((store / "hard_examples.sql").read_text())
        client.execute("SELECT run, state, count(*) FROM hard_examples GROUP BY ALL").fetchall()
    slowest = max(slowest, time.monotonic() - began)
    asked += 1
    time.sleep(0.1)
print(asked, slowest)
"""

# A report: the project through relift, as `relift hard` reads it.
REPORT = """
import sys, time
from pathlib import Path
from relift.ledger import named_query, query
store, seconds = Path(sys.argv[1]), float(sys.argv[2])
asked, slowest, ends = 0, 0.0, time.monotonic() + seconds
while time.monotonic() < ends:
    began = time.monotonic()
    assert query(store, named_query("states").sql).rows
    slowest = max(slowest, time.monotonic() - began)
    asked += 1
    time.sleep(0.1)
print(asked, slowest)
"""


def test_shells_a_report_and_two_runs_share_a_project_without_errors_or_waits(tmp_path):
    """Each in a process of its own, for some seconds, at the pace of people and of fast training.

    No wait of any of them is longer than a second; on a machine that has more to do, one of three times.
    """
    waits = [_longest_wait(tmp_path / "first")]
    while min(waits) > 1.0 and len(waits) < 3:
        waits.append(_longest_wait(tmp_path / str(len(waits))))
    assert min(waits) <= 1.0


def _longest_wait(folder: Path) -> float:
    """Of anybody, in seconds; whatever goes wrong in any process is a failure."""
    waits = []
    writers = {run: _writer(folder, run) for run in ("a", "b")}
    try:
        for run in writers:
            _wait_for(folder / run / "hard_examples.duckdb")
        write_init_script(folder)
        readers = [_started("-c", code, str(folder), str(SECONDS)) for code in (SHELL, SHELL, REPORT)]
        for reader in readers:
            said, trouble = reader.communicate(timeout=60)
            assert reader.returncode == 0, trouble
            asked, slowest = said.split()
            waits.append(float(slowest) if int(asked) >= 3 else float("inf"))
    finally:
        said = {run: writer.communicate("", timeout=60) for run, writer in writers.items()}
    for run, writer in writers.items():
        assert writer.returncode == 0, said[run][1]
        *keys, last = said[run][0].split("\n")[:-1]
        assert len(keys) > 20
        waits.append(float(last.removeprefix("slowest ")))  # an iteration of seven batches, and asking for a snapshot
        for name in ("ledger.duckdb", "hard_examples.duckdb"):
            assert not [one for one in check(folder / run / name) if one.wrong]
    return max(waits)


def _writer(folder: Path, run: str) -> subprocess.Popen[str]:
    return _started(str(CHILD), str(folder / run / "ledger.duckdb"), run, "0", "0.05")


def _started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _wait_for(path: Path) -> None:
    ends = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < ends, f"{path} was not published"
        time.sleep(0.02)


def test_a_snapshot_holds_one_moment_of_a_ledger_that_is_written_meanwhile(tmp_path):
    path = tmp_path / "a" / "ledger.duckdb"
    snapshot = path.with_name("hard_examples.duckdb")
    with Ledger.open(path, "a") as ledger:
        ledger.record_questions("questions", [question(str(n)) for n in range(800)], "train")
        groups = [group(question(str(n)), "-" * 8) for n in range(800)]
        for number in range(5):
            ledger.record_attempts(f"{number}", number, groups, purpose=Purpose.TRAIN)
        publisher = Publisher(lambda: ledger.publish(snapshot))
        publisher.begin()
        written = 5
        while publisher.is_busy:
            ledger.record_attempts(f"{written}", written, groups[:10], purpose=Purpose.TRAIN)
            written += 1
        publisher.wait()
        assert ledger.counts()["ingested"] == written + 1 > 6
        assert not [one for one in check(snapshot) if one.wrong]  # groups and attempts of the same batches
        counts = {one.name: one.count for one in check(snapshot)}
        assert 4_000 <= counts["groups are the sums of their attempts"] < 4_000 + 10 * (written - 5)
        publisher.publish_now()
        counts = {one.name: one.count for one in check(snapshot)}
        assert counts["groups are the sums of their attempts"] == 4_000 + 10 * (written - 5)


def test_a_snapshot_ends_when_the_run_is_asked_to_stop_and_the_one_before_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "_CHECK_SECONDS", 0.002)
    path = tmp_path / "a" / "ledger.duckdb"
    snapshot = path.with_name("hard_examples.duckdb")
    stop, asked = StopFlag(), []

    def check_and_then_stop() -> None:  # asked to stop when the copying has begun
        asked.append(stop.is_set)
        stop.check()
        stop.set()

    with Ledger.open(path, "a") as ledger:
        ledger.publish(snapshot)
        before = snapshot.read_bytes()
        groups = [group(question(str(n)), "-" * 8) for n in range(800)]
        for number in range(10):
            ledger.record_attempts(f"{number}", number, groups, purpose=Purpose.TRAIN)
        with pytest.raises(Interrupted):
            ledger.publish(snapshot, check_and_then_stop)
        assert asked[:2] == [False, True]
        assert snapshot.read_bytes() == before and not snapshot.with_name(f"{snapshot.name}.partial").exists()
        with pytest.raises(Interrupted):
            ledger.publish(snapshot, stop.check)
        ledger.publish(snapshot)
        assert {one.name: one.count for one in check(snapshot)}["groups are the sums of their attempts"] == 8_000


def test_closing_waits_for_a_snapshot_that_is_under_way(tmp_path):
    path = tmp_path / "a" / "ledger.duckdb"
    snapshot = path.with_name("hard_examples.duckdb")
    ledger = Ledger.open(path, "a")
    groups = [group(question(str(n)), "-" * 8) for n in range(800)]
    ledger.record_attempts("0", 0, groups, purpose=Purpose.TRAIN)
    publisher = Publisher(lambda: ledger.publish(snapshot))
    publisher.begin()
    while not snapshot.with_name(f"{snapshot.name}.partial").exists() and publisher.is_busy:
        time.sleep(0.001)
    ledger.close()
    publisher.wait()
    assert snapshot.exists() and not snapshot.with_name(f"{snapshot.name}.partial").exists()
    with Ledger.open(path, "a") as again:
        assert again.counts()["attempts"] == 6_400


def test_what_went_wrong_beside_training_is_raised_at_the_next_snapshot(tmp_path):
    done = []

    def fail() -> None:
        raise OSError("no space")

    publisher = Publisher(fail)
    publisher.begin()
    while publisher.is_busy:
        time.sleep(0.001)
    with pytest.raises(OSError, match="no space"):
        publisher.begin()
    publisher.wait()  # said once
    publisher = Publisher(lambda: done.append(1))
    publisher.begin()
    publisher.wait()
    publisher.publish_now()
    assert done == [1, 1]
