"""Killed by the system inside a phase, whose work is done and not written down yet, or not yet in the ledger, a run
goes on to the end of the uninterrupted one."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from relift.opening.run import open_run
from relift.store.manifest import Manifest
from tests.phases import test_guided_run, test_teaching_in_the_update, test_warm_start
from tests.phases.conftest import Opener, drive
from tests.phases.test_killed_after_each_phase import FORMS, Outcome, require_equal
from tests.small_run import small_config

SETTINGS = {
    "mixed": test_teaching_in_the_update.settings("mixed"),
    "guided": test_guided_run.SETTINGS,
    "refill": FORMS["refill"],
    "warm start": test_warm_start.WITH_KL,
}
CASES = [
    ("mixed", "00003/source", False),
    ("mixed", "00003/rl_update", False),
    ("guided", "00003/trial", False),
    ("refill", "00003/rollout/1", False),
    ("refill", "00003/verify/1", False),
    ("warm start", "warm_start/00001", False),
    ("warm start", "warm_start/00001", True),
]
END = 5
# Each process that is killed is a fork of one that has done the imports, which take longer than all that it does.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.phases.conftest"])


def die(store: Path, settings: tuple[str, ...], key: str, is_written: bool) -> None:
    """The small run, killed before it writes the manifest of the phase ``key``, or right after."""
    torch.set_num_threads(1)
    with open_run(small_config(store, *settings), "small") as run:
        publish = run.store.publish

        def publish_or_die(published: str, *given: Any, **named: Any) -> Manifest:
            if published.endswith(key) and not is_written:
                os.kill(os.getpid(), signal.SIGKILL)
            made = publish(published, *given, **named)
            if published.endswith(key):
                os.kill(os.getpid(), signal.SIGKILL)
            return made

        run.store.publish = publish_or_die
        drive(run, END)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    @functools.cache
    def driven(form: str) -> Outcome:
        torch.set_num_threads(1)
        with open_run(small_config(tmp_path_factory.mktemp("whole"), *SETTINGS[form]), "small") as run:
            return Outcome.of(run, drive(run, END)[-1])

    return driven


@pytest.mark.slow
@pytest.mark.parametrize(("form", "key", "is_written"), CASES)
def test_killed_inside_a_phase_and_resumed_it_ends_as_the_uninterrupted_run(
    form: str, key: str, is_written: bool, uninterrupted: Callable[[str], Outcome], opener: Opener, tmp_path: Path
) -> None:
    expected = uninterrupted(form)
    died = PROCESSES.Process(target=die, args=(tmp_path / "runs", SETTINGS[form], key, is_written))
    died.start()
    died.join(120)
    assert died.exitcode == -signal.SIGKILL, "it never came to that phase"
    assert (tmp_path / "runs" / "small" / "iterations" / key / "manifest.json").exists() is is_written
    again = opener(*SETTINGS[form])
    require_equal(Outcome.of(again, drive(again, END)[-1]), expected, key)
