"""The verifier inside Prefect tasks: a sync task runs in a worker thread, an async one on the event loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLOW = r"""
import asyncio, os, signal
from prefect import flow, task
from relift.verifier import Verifier

GOLD = r"\frac{\pi}{4}"
PAIRS = [(GOLD, r"\arctan(1)"), (GOLD, r"\arctan(2)"), ("4", "(x+y+z+w)^{5000}")]
SIGNALS = (signal.SIGALRM, signal.SIGINT, signal.SIGCHLD)

@task(persist_result=False)
def in_a_thread(verifier):
    return [reply.status.value for _, reply in sorted(verifier.pool.replies(PAIRS))]

@task(persist_result=False)
async def on_the_loop(verifier):
    found = await asyncio.to_thread(verifier.compare_batch, PAIRS[:2])
    return [verdict.status.value for verdict in found]

@flow(persist_result=False)
async def verify():
    with Verifier("boxed", workers=2) as verifier:
        waiting = in_a_thread.submit(verifier)
        handlers = [signal.getsignal(number) for number in SIGNALS]
        print("LOOP", *await on_the_loop(verifier))
        print("THREAD", *waiting.result())
        print("SIGNALS", handlers == [signal.getsignal(number) for number in SIGNALS])
        workers = verifier.pool.processes
    print("LEFT", [worker for worker in workers if os.path.exists(f"/proc/{worker}")], bool(workers))

asyncio.run(verify())
"""


@pytest.mark.flow
def test_tasks_of_both_kinds_verify_and_a_hang_ends_in_time(prefect_api: str, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    environment = {**os.environ, "PREFECT_API_URL": prefect_api, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, tmp_path / "flow.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "LOOP correct wrong",
        "THREAD correct wrong timeout",
        "SIGNALS True",
        "LEFT [] True",
    ]
