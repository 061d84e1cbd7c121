"""The runs of a comparison as processes: each a `relift train` with a Prefect flow run of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relift.config import RunConfig
from relift.errors import RunError
from relift.records import Spent
from relift.run.identity import run_root
from relift.run.lock import RunLock
from relift.run.progress import METRICS, metrics_lines
from relift.study.comparison import Comparison
from relift.study.planned import PlannedRun

ORPHAN_SECONDS = 10.0
"""A child of a comparison that was killed has left its run after so long."""
STOPPING_SECONDS = 2.5
"""For the runs to stop by themselves, of the five within which a comparison is to be gone."""
LAST_WORDS = 3
"""Lines of what a run that failed said last."""


@dataclass(slots=True, kw_only=True)
class Child:
    """One run while it is done."""

    run: PlannedRun
    config: RunConfig
    name: str
    root: Path
    log: Path
    """What it prints."""
    process: asyncio.subprocess.Process
    began: float
    share_at_begin: float | None

    @property
    def share(self) -> float | None:
        """Of its budget, in [0, 1]; None before the first iteration, and where nothing is said of how long it is."""
        return spent_share(self.config, self.root)

    @property
    def seconds_left(self) -> float | None:
        share, before = self.share, self.share_at_begin or 0.0
        if share is None or share <= before:
            return None
        return (time.monotonic() - self.began) * (1 - share) / (share - before)

    @property
    def last_words(self) -> str:
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").rstrip().splitlines()[-LAST_WORDS:])
        return ""


def spent_share(config: RunConfig, root: Path) -> float | None:
    """By the last line of its metrics."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        lines = metrics_lines(root / METRICS)
        if lines:
            tree = json.loads(lines[-1][1])
            share = config.budget.share(Spent(**tree["spent"]))
            if share is None and config.iterations:
                share = min(1.0, (tree["iteration"] + 1) / config.iterations)
            return share
    return None


async def begin(comparison: Comparison, run: PlannedRun) -> Child:
    """Its process, started; a run that stands half done goes on."""
    config, name = comparison.config(run), comparison.run_name(run)
    root = run_root(config, name)
    root.parent.mkdir(parents=True, exist_ok=True)
    if root.exists():
        await _left_alone(RunLock(root / "lock"))
    log = root.parent / f"{name}.log"
    settings = [part for setting in comparison.settings(run) for part in ("--set", setting)]
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flows.server.train_child", comparison.study.recipe, "--name", name, *settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in the terminal is for the comparison, which ends them
        )
    share = spent_share(config, root)
    return Child(
        run=run,
        config=config,
        name=name,
        root=root,
        log=log,
        process=process,
        began=time.monotonic(),
        share_at_begin=share,
    )


async def end(children: list[Child]) -> None:
    """Ask all of them to stop, and see that they do: nothing that they recorded is lost, however they end."""
    for child in children:
        _signal(child, signal.SIGTERM)
    waited = [asyncio.create_task(child.process.wait()) for child in children]
    if waited:
        _, late = await asyncio.wait(waited, timeout=STOPPING_SECONDS)
        if late:
            for child in children:
                _signal(child, signal.SIGKILL)
            await asyncio.wait(late)


def _signal(child: Child, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


async def _left_alone(lock: RunLock) -> None:
    """Wait for the end of a child that a comparison which was killed has left. Raises RunError where it stays."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while True:
        try:
            lock.acquire()
        except RunError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.25)
        else:
            lock.release()
            return


def _environment() -> dict[str, str]:
    """One core each; and none of what says in which flow run the comparison itself stands."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
    return {**own, "OMP_NUM_THREADS": "1"}
