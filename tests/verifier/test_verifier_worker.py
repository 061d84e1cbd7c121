"""The worker process: killed when it hangs, replaced, gone with its parent, and slim."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from relift.records import Completion, FinishReason, Status
from relift.verifier import Verifier
from relift.verifier.pool import WorkerPool

BOMB = "(x+y+z+w)^{5000}"
"""Small enough for the bounds; its expansion keeps sympy busy until math-verify's own 2 s are over."""


def workers_of(parent: int) -> list[int]:
    """The process table's verifier workers of that parent, zombies included."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or f"\nPPid:\t{parent}\n" not in (entry / "status").read_text():
                continue
            found.append(int(entry.name))
        except OSError:
            continue  # it has just ended
    return found


def is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def wait_until_gone(process: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(process)


def in_thread(work):
    """Runs it in a thread other than main and hands its result back."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(60)
    assert results, "the thread gave no result"
    return results[0]


def test_a_hanging_worker_is_killed_from_a_thread_and_costs_one_answer_only():
    before = set(workers_of(os.getpid()))
    handlers = [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGCHLD)]
    texts = [r"\boxed{\sqrt{9}}", rf"\boxed{{{BOMB}}}", r"\boxed{1+2}", rf"\boxed{{{BOMB}}}", r"\boxed{1+3}"]
    pairs = [
        ("3", Completion(token_ids=(), logprobs=(), text=t, finish_reason=FinishReason.STOP, policy_version=0))
        for t in texts
    ]

    def work():
        with Verifier("boxed", hard_limit_seconds=1.0) as verifier:
            started = time.monotonic()
            verdicts = verifier.verify_batch(pairs)
            return verdicts, time.monotonic() - started, verifier._pool.started

    verdicts, seconds, started = in_thread(work)
    right, wrong, timeout = Status.CORRECT, Status.WRONG, Status.TIMEOUT
    assert [v.status for v in verdicts] == [right, timeout, right, timeout, wrong]
    assert 1.0 <= verdicts[1].seconds < 2.0
    assert started == 2  # the equal bomb was not let loose twice
    assert seconds < 20
    assert set(workers_of(os.getpid())) == before
    assert [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGCHLD)] == handlers


def test_what_math_verify_itself_gives_up_on_is_a_timeout_and_the_worker_lives_on():
    pool = WorkerPool(hard_limit_seconds=8.0)
    try:
        assert pool.compare("3", BOMB).status is Status.TIMEOUT
        assert pool.compare("3", "1+2").status is Status.CORRECT
        assert pool.started == 1
    finally:
        pool.close()


def test_a_worker_killed_from_outside_is_replaced_and_the_answer_not_lost():
    pool = WorkerPool(hard_limit_seconds=8.0)
    try:
        assert pool.compare("3", "1+2").status is Status.CORRECT
        os.kill(pool._worker._process.pid, signal.SIGKILL)
        assert pool.compare("3", "2+2").status is Status.WRONG
        assert pool.started == 2
    finally:
        pool.close()


def test_a_worker_outlives_the_thread_that_started_it():
    pool = WorkerPool(hard_limit_seconds=8.0)
    try:
        assert in_thread(lambda: pool.compare("3", "1+2").status) is Status.CORRECT
        assert pool.compare("4", "2+2").status is Status.CORRECT
        assert pool.started == 1
    finally:
        pool.close()


def test_a_worker_is_replaced_after_its_share_of_items(monkeypatch):
    monkeypatch.setattr("relift.verifier.pool.ITEMS_PER_WORKER", 2)
    pool = WorkerPool(hard_limit_seconds=8.0)
    try:
        assert [pool.compare("3", f"1+{n}").status for n in (2, 3, 2)] == [Status.CORRECT, Status.WRONG, Status.CORRECT]
        assert pool.started == 2
    finally:
        pool.close()


@pytest.mark.parametrize("answer", ["3", BOMB], ids=["idle", "computing"])
def test_a_worker_ends_when_its_parent_is_killed(answer):
    code = (
        "import sys, threading\n"
        "from relift.verifier.pool import WorkerPool\n"
        "pool = WorkerPool(hard_limit_seconds=60)\n"
        "pool.compare('3', '1+2')\n"
        "print(pool._worker._process.pid, flush=True)\n"
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


def test_an_interrupt_reaches_the_caller_at_once_and_the_half_asked_worker_is_gone():
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell ignores it
        "from relift.verifier import Verifier\n"
        "from relift.verifier.pool import WorkerPool\n"
        "pool = WorkerPool(hard_limit_seconds=60)\n"
        "pool.compare('3', '1+2')\n"
        "print(pool._worker._process.pid, flush=True)\n"
        "try:\n"
        "    while True: pool.compare('3', r'" + BOMB + "')\n"
        "except KeyboardInterrupt:\n"
        "    print(pool._worker is None, pool.compare('3', '1+2').status.value, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    time.sleep(0.3)
    started = time.monotonic()
    parent.send_signal(signal.SIGINT)
    out, _ = parent.communicate(timeout=20)
    assert out == "True correct\n"  # a worker kept would now send the reply to the earlier request
    assert parent.returncode == 0
    assert time.monotonic() - started < 3
    assert wait_until_gone(worker, 1.0)


def test_a_worker_ignores_the_terminals_interrupt():
    pool = WorkerPool(hard_limit_seconds=8.0)
    try:
        pool.compare("3", "1+2")
        os.kill(pool._worker._process.pid, signal.SIGINT)
        assert pool.compare("3", "2+2").status is Status.WRONG
        assert pool.started == 1
    finally:
        pool.close()


def test_a_worker_loads_neither_torch_nor_prefect_nor_pyarrow():
    code = (
        "import sys, math_verify\n"
        "import relift.verifier.worker\n"
        "print(sorted({'torch', 'prefect', 'pyarrow', 'pydantic', 'numpy', 'multiprocessing'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_memory_beyond_the_limit_is_an_error_and_not_a_wrong_answer():
    code = (
        "import resource\n"
        "import relift.verifier.worker as worker\n"
        "def greedy(gold, answer): return bytearray(3 << 30)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (worker.MEMORY_BYTES, worker.MEMORY_BYTES))\n"
        "worker._compare = greedy\n"
        "print(*worker._answer({'gold': '3', 'answer': '4'}))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "error math-verify needed over 2048 MiB"
