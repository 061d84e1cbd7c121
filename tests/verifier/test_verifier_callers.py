"""Whoever calls: any thread, an event loop, a spawned or forked process; their signals and their Ctrl-C stay theirs."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import own_answers
import pytest
from process_table import children_of, in_thread, is_alive, wait_until_gone

from relift.records import Status
from relift.verifier import Verifier
from relift.verifier.kinds import Comparison

BY_WORD = Comparison(kind="callable", function="own_answers:by_word")
SIGNALS = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1)
GOLD = r"\frac{\pi}{4}"
RIGHT_WRONG = [(GOLD, r"\arctan(1)"), (GOLD, r"\arctan(2)")]
"""The first takes a worker."""


@pytest.fixture
def by_word():
    with Verifier("boxed", comparison=BY_WORD, hard_limit_seconds=1.0, workers=2) as verifier:
        yield verifier


def statuses(verifier: Verifier, pairs: list[tuple[str, str]]) -> list[Status]:
    return [verdict.status for verdict in verifier.compare_batch(pairs)]


def test_from_a_thread_a_hang_is_killed_and_nothing_is_left():
    before = children_of(os.getpid())
    handlers = [signal.getsignal(number) for number in SIGNALS]
    pairs = [("3", answer) for answer in ("3", "spin", "4", "spin", "3")]

    def work() -> tuple[list[Status], int]:
        with Verifier("boxed", comparison=BY_WORD, hard_limit_seconds=0.5, workers=1) as verifier:
            return statuses(verifier, pairs), verifier.pool.killed

    found, killed = in_thread(work)
    right, wrong, timeout = Status.CORRECT, Status.WRONG, Status.TIMEOUT
    assert found == [right, timeout, wrong, timeout, right]
    assert killed == 1  # the equal answer was not let loose twice
    assert children_of(os.getpid()) == before
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_the_callers_own_alarm_rings_in_time(by_word):
    rang: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rang.append(time.monotonic()))
    try:
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        assert statuses(by_word, [("3", "spin"), ("3", "3")]) == [Status.TIMEOUT, Status.CORRECT]
        assert len(rang) == 1
        assert 0.4 < rang[0] - began < 0.9
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_from_an_event_loop_by_threads_the_loop_stays_free(by_word):
    async def work() -> tuple[list[list[Status]], int]:
        ticks, is_over = 0, asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not is_over.is_set():
                ticks += 1
                await asyncio.sleep(0.02)

        ticking = asyncio.create_task(tick())
        batches = [[("3", "sleep 0.3"), ("3", str(n)), ("3", "spin" if n == 2 else "3")] for n in (2, 3)]
        found = await asyncio.gather(*(asyncio.to_thread(statuses, by_word, pairs) for pairs in batches))
        is_over.set()
        await ticking
        return found, ticks

    found, ticks = asyncio.run(work())
    right, wrong, timeout = Status.CORRECT, Status.WRONG, Status.TIMEOUT
    assert found == [[right, wrong, timeout], [right, right, right]]
    assert ticks > 20


def test_from_an_event_loop_directly():
    async def work() -> list[Status]:
        with Verifier("boxed", workers=1) as verifier:
            found = statuses(verifier, RIGHT_WRONG)
            assert verifier.pool.started == 1
            return found

    assert asyncio.run(work()) == [Status.CORRECT, Status.WRONG]


def test_from_a_process_that_multiprocessing_spawned():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as spawned:
        answers = [answer for _, answer in RIGHT_WRONG]
        assert spawned.submit(own_answers.verdicts_in_this_process, GOLD, answers).result(60) == ["correct", "wrong"]


def run_script(code: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)]),
    }
    script = [sys.executable, "-c", code]
    return subprocess.Popen(script, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_from_a_fork_of_a_process_that_has_workers():
    script = run_script("""
import os, threading, time
from relift.verifier.workers.pool import WorkerPool
from relift.verifier.workers.messages import Job
pool = WorkerPool(workers=1, job=Job(task="callable", function="own_answers:by_word"))
pool.compare("3", "3")
mine = pool.processes
waiting = threading.Thread(target=pool.compare, args=("3", "sleep 3"))
waiting.start()
time.sleep(0.5)
if os.fork() == 0:  # while that thread has the only worker
    began = time.monotonic()
    print(pool.compare("3", "3").status, pool.processes != mine, time.monotonic() - began < 2, flush=True)
    os._exit(0)
os.wait()
waiting.join()
print(pool.compare("3", "4").status, pool.processes == mine, flush=True)
""")
    assert script.communicate(timeout=60)[0].splitlines()[-2:] == ["correct True True", "wrong True"]


WAITING = """
import asyncio, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started with it ignored
from relift.verifier import Verifier
from relift.verifier.kinds import Comparison
verifier = Verifier("boxed", comparison=Comparison(kind="callable", function="own_answers:by_word"),
                    hard_limit_seconds=60, workers=2)
verifier.compare_batch([("3", str(n)) for n in range(40)])
print(*verifier.pool.processes, flush=True)
hang = [("3", f"sleep {n}") for n in range(30, 34)]
"""
IN_THE_MAIN_THREAD = """
try:
    verifier.compare_batch(hang)
except KeyboardInterrupt:
    print("interrupted", len(verifier.pool.processes), verifier.compare("3", "3").status, flush=True)
"""
IN_AN_EVENT_LOOP = """
async def work():
    with verifier:
        await asyncio.to_thread(verifier.compare_batch, hang)
try:
    asyncio.run(work())
except KeyboardInterrupt:
    print("interrupted", len(verifier.pool.processes), verifier.compare("3", "3").status, flush=True)
"""


@pytest.mark.parametrize("waiting", [IN_THE_MAIN_THREAD, IN_AN_EVENT_LOOP], ids=["main thread", "event loop"])
def test_an_interrupt_stops_it_at_once_and_leaves_nothing(waiting):
    script = run_script(WAITING + waiting)
    workers = [int(number) for number in script.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(0.5)
    began = time.monotonic()
    script.send_signal(signal.SIGINT)
    out, _ = script.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert (out, script.returncode) == ("interrupted 0 correct\n", 0)
    assert all(wait_until_gone(worker, 1.0) for worker in workers)


@pytest.mark.parametrize(
    "ending", ["", "sys.exit(3)", "raise ValueError", "del verifier", "threading.Thread(target=print).start()"]
)
def test_a_program_that_ends_without_closing_leaves_no_process(ending):
    script = run_script(WAITING + ending)
    workers = [int(number) for number in script.stdout.readline().split()]
    script.communicate(timeout=20)
    assert len(workers) == 2
    assert not any(is_alive(worker) for worker in workers)


def test_the_calling_process_never_loads_a_parser_of_mathematics():
    script = run_script(rf"""
import sys
from relift.verifier import Verifier
with Verifier("boxed", workers=1) as verifier:
    print(*[verdict.path.value for verdict in verifier.compare_batch({RIGHT_WRONG[:1]})])
print(sorted({{"sympy", "math_verify", "latex2sympy2_extended", "multiprocessing", "pydantic"}} & set(sys.modules)))
""")
    assert script.communicate(timeout=60)[0] == "sympy\n[]\n"
