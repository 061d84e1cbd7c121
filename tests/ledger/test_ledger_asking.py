"""SQL of anybody: bounded by the system, whatever DuckDB itself keeps count of."""

from __future__ import annotations

import datetime
import decimal
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from exchange_project import write_run

from relift.errors import LedgerError
from relift.ledger import asking, query
from relift.ledger.asking import ask


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked") / "runs"
    write_run(folder, "demo-0")
    return folder


def test_what_is_found_is_what_this_process_would_find(store):
    for sql in (
        "SELECT run, count(*) AS n, avg(repeats) FROM questions GROUP BY ALL",
        "SELECT 1.5::DECIMAL(9, 2), DATE '2026-01-31', TIMESTAMP '2026-01-31 12:00:00', [1, 2], {'a': NULL}",
        "SELECT * FROM iterations WHERE false",
        "FROM range(30)",
    ):
        assert ask(store, sql, max_rows=20) == query(store, sql, max_rows=20)
    (row,) = ask(store, "SELECT 1.5::DECIMAL(9, 2), DATE '2026-01-31'").rows
    assert row == (decimal.Decimal("1.50"), datetime.date(2026, 1, 31))
    with pytest.raises(LedgerError, match="Only reading is possible"):
        ask(store, "DROP TABLE runs")
    with pytest.raises(LedgerError, match=r"The query failed.*no_such_column"):
        ask(store, "SELECT no_such_column FROM runs")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT len(list_sort(range(1000000000)))",
        "SELECT len(repeat('x', 3000000000))",
        "SELECT list(range) FROM range(300000000)",
    ],
)
def test_a_query_gets_no_more_memory_than_is_said(store, sql):
    began = time.monotonic()
    with pytest.raises(LedgerError, match=r"more than the 1 GB of memory"):
        ask(store, sql)
    assert time.monotonic() - began < asking.MOST_SECONDS


def test_sorting_more_than_fits_spills_and_is_answered(store):
    rows = "SELECT repeat(md5(range::VARCHAR), 64) AS x FROM range(500_000)"  # 1 GB
    assert ask(store, f"SELECT count(*) FROM (SELECT x FROM ({rows}) ORDER BY x OFFSET 10)").rows == ((499_990,),)


def test_a_query_gets_no_more_time_than_is_said(store, monkeypatch):
    with pytest.raises(LedgerError, match=r"stopped after 0\.5 seconds"):
        ask(store, "SELECT sum(hash(a.range + b.range)) FROM range(10_000_000) a, range(10_000_000) b", max_seconds=0.5)
    # Where DuckDB does not look whether it is to stop, the child is ended.
    monkeypatch.setattr(asking, "GRACE_SECONDS", 0.0)
    with pytest.raises(LedgerError, match=r"stopped after 0.01 seconds"):
        ask(store, "SELECT 1", max_seconds=0.01)


def test_ctrl_c_ends_the_command_and_its_child_at_once(store):
    sql = "SELECT sum(hash(a.range + b.range)) FROM range(10_000_000) a, range(10_000_000) b"
    # As in a terminal: what a script starts in the background ignores SIGINT, and so would all that it starts.
    program = "from signal import *; signal(SIGINT, default_int_handler); from flows.cli.main import main; main()"
    command = [sys.executable, "-c", program, "sql", sql, "--store", str(store)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        child = _child_of(process.pid)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert process.returncode in (3, 130) and "Traceback" not in said
    while Path(f"/proc/{child}").exists() and time.monotonic() - began < 5:
        time.sleep(0.01)  # one that was only just started finds by itself that nobody asks it anything
    assert time.monotonic() - began < 5


def _child_of(parent: int) -> int:
    for _ in range(300):
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            if found := children.read_text().split():
                return int(found[0])
        time.sleep(0.05)
    raise AssertionError("no child was started")
