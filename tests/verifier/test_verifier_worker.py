"""The worker process: killed when it hangs, replaced, gone with its parent, within its limits, and slim."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from process_table import in_thread, is_alive, peak_bytes, wait_until_gone

from relift.records import Status
from relift.verifier.workers.messages import Job
from relift.verifier.workers.pool import WorkerPool

BOMB = "(x+y+z+w)^{5000}"
"""Its expansion keeps sympy busy until math-verify's own 2 s are over."""


@pytest.fixture
def pool():
    pool = WorkerPool(hard_limit_seconds=8.0, workers=1)
    yield pool
    pool.close()


def test_what_math_verify_itself_gives_up_on_is_a_timeout_and_spends_its_worker(pool):
    assert pool.compare("3", BOMB).status is Status.TIMEOUT
    assert pool.compare("3", "1+2").status is Status.CORRECT
    assert (pool.started, pool.killed) == (2, 0)  # an alarm may have struck where sympy was writing to its caches


def test_a_worker_killed_from_outside_is_replaced_and_the_answer_not_lost(pool):
    assert pool.compare("3", "1+2").status is Status.CORRECT
    os.kill(pool.processes[0], signal.SIGKILL)
    assert pool.compare("3", "2+2").status is Status.WRONG
    assert pool.started == 2


def test_a_worker_outlives_the_thread_that_started_it(pool):
    assert in_thread(lambda: pool.compare("3", "1+2").status) is Status.CORRECT
    assert pool.compare("4", "2+2").status is Status.CORRECT
    assert pool.started == 1


def test_a_worker_is_replaced_after_its_share_of_items(monkeypatch):
    monkeypatch.setattr("relift.verifier.workers.process.ITEMS_PER_WORKER", 2)
    pool = WorkerPool(workers=1, job=Job(task="callable", function="own_answers:same"))
    try:
        assert [pool.compare("3", answer).status for answer in "343"] == [Status.CORRECT, Status.WRONG, Status.CORRECT]
        assert pool.started == 2
        replies = dict(pool.replies([("3", str(n)) for n in range(7)]))  # replaced in the middle of a message, too
        assert [replies[n].status is Status.CORRECT for n in range(7)] == [n == 3 for n in range(7)]
        assert pool.started >= 4
        assert pool.killed == 0
    finally:
        pool.close()


@pytest.mark.parametrize("answer", ["3", BOMB], ids=["idle", "computing"])
def test_a_worker_ends_when_its_parent_is_killed(answer):
    code = (
        "import sys, threading\n"
        "from relift.verifier.workers.pool import WorkerPool\n"
        "pool = WorkerPool(hard_limit_seconds=60, workers=1)\n"
        "pool.compare('3', '1+2')\n"
        "print(pool.processes[0], flush=True)\n"
        "pool.compare('3', sys.argv[1])\n"
        "threading.Event().wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, answer], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    time.sleep(0.3)
    assert is_alive(worker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(worker, 1.2)  # before sympy would have come to its own end


def test_a_worker_ignores_the_terminals_interrupt(pool):
    pool.compare("3", "1+2")
    os.kill(pool.processes[0], signal.SIGINT)
    assert pool.compare("3", "2+2").status is Status.WRONG
    assert pool.started == 1


def test_a_worker_loads_neither_torch_nor_prefect_nor_pyarrow():
    code = (
        "import sys, math_verify\n"
        "import relift.verifier.workers.worker\n"
        "print(sorted({'torch', 'prefect', 'pyarrow', 'pydantic', 'numpy', 'multiprocessing'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_memory_beyond_the_limit_is_an_error_and_not_a_wrong_answer():
    limit = 1 << 30
    pool = WorkerPool(workers=1, job=Job(task="callable", function="own_answers:by_word", memory_bytes=limit))
    try:
        assert pool.compare("3", "3").status is Status.CORRECT
        worker = pool.processes[0]
        reply = pool.compare("3", "fill")
        assert (reply.status, "more memory" in reply.reason) == (Status.ERROR, True)
        assert pool.compare("3", "3").status is Status.CORRECT
        assert worker not in pool.processes
        assert peak_bytes(pool.processes[0])[0] <= limit
    finally:
        pool.close()


def test_what_takes_too_much_processor_time_is_ended_by_the_kernel_and_is_a_timeout():
    pool = WorkerPool(
        hard_limit_seconds=30, workers=1, job=Job(task="callable", function="own_answers:by_word", cpu_seconds=1)
    )
    try:
        reply = pool.compare("3", "spin")
        assert (reply.status, reply.reason) == (Status.TIMEOUT, "too much processor time")
        assert reply.seconds < 10
    finally:
        pool.close()


def test_a_worker_sees_the_modules_of_its_parent_and_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "from_here.py").write_text("def same(gold, answer):\n    return gold == answer\n")
    monkeypatch.chdir(tmp_path)
    pool = WorkerPool(workers=1, job=Job(task="callable", function="from_here:same"))
    try:
        assert pool.fault() == ""
        assert pool.compare("3", "3").status is Status.CORRECT
    finally:
        pool.close()


@pytest.mark.parametrize(("python", "started"), [("/bin/false", 3), ("/no/such/python", 0)])
def test_workers_that_cannot_be_started_are_an_error_with_their_last_words(pool, monkeypatch, python, started):
    monkeypatch.setattr(sys, "executable", python)
    replies = dict(pool.replies([("3", "1+2")] * 5))
    assert {reply.status for reply in replies.values()} == {Status.ERROR}
    assert "cannot be started" in replies[4].reason
    assert pool.started == started
    monkeypatch.undo()
    assert pool.compare("3", "1+2").status is Status.CORRECT
