"""A run survives whatever happens to its process: the same command goes on, to the same weights and ledger."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from relift.ledger import Ledger
from relift.opening.run import open_run
from tests.flows.conftest import command
from tests.phases.conftest import drive
from tests.small_run import small_arguments, small_config

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.alone]

# `make test-kill` sets ten; each kill costs a start of the process.
KILLS = int(os.environ.get("RELIFT_TEST_KILLS", "2"))


def outcome(root: Path) -> tuple[str, str, dict[str, int]]:
    """(weights, ledger's contents, ledger's counts) of a finished run."""
    summary = json.loads((root / "summary.json").read_text())
    with Ledger.open(root / "ledger.duckdb", "small") as ledger:
        return summary["weights_sha256"], ledger.digest(), ledger.counts()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> tuple[Path, float]:
    """(root, seconds in the flow) of the run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    code, output = command(small_arguments(folder / "runs"), folder, prefect_api).finish()
    assert code == 0, output
    root = folder / "runs" / "small"
    return root, json.loads((root / "summary.json").read_text())["seconds"]


def test_a_run_killed_at_random_moments_ends_with_the_same_weights_and_ledger(
    uninterrupted: tuple[Path, float], tmp_path: Path, prefect_api: str
) -> None:
    whole, seconds = uninterrupted
    root = tmp_path / "runs" / "small"
    moments = random.Random(7)
    for _ in range(KILLS):
        run = command(small_arguments(tmp_path / "runs"), tmp_path, prefect_api)
        run.wait_for((root / "ledger.duckdb").exists)
        time.sleep(moments.uniform(0, seconds / 2))
        run.signal_group(signal.SIGKILL)
        run.process.communicate()
    code, output = command(small_arguments(tmp_path / "runs"), tmp_path, prefect_api).finish()
    assert code == 0, output
    assert outcome(root) == outcome(whole)


def test_ctrl_c_ends_within_five_seconds_leaves_no_process_and_loses_nothing(
    uninterrupted: tuple[Path, float], tmp_path: Path, prefect_api: str
) -> None:
    whole, _ = uninterrupted
    root = tmp_path / "runs" / "small"
    run = command(small_arguments(tmp_path / "runs"), tmp_path)  # with a Prefect server of its own
    run.wait_for((root / "iterations" / "00002" / "rollout" / "manifest.json").exists)
    pressed = time.monotonic()
    run.signal_group(signal.SIGINT)
    code, output = run.finish(timeout=30)
    seconds = time.monotonic() - pressed

    assert seconds < 5, output
    assert code == 3
    assert "run the same command again" in output
    after = output[output.index("run the same command again") :]
    assert after.count("\n") <= 1, f"more than one sentence after Ctrl-C: {after}"
    assert "ERROR" not in output and "Traceback" not in output and "leaked" not in output
    assert not run.living()

    code, output = command(small_arguments(tmp_path / "runs"), tmp_path, prefect_api).finish()
    assert code == 0, output
    assert outcome(root) == outcome(whole)


def test_a_killed_run_takes_its_prefect_server_with_it(tmp_path: Path) -> None:
    run = command(small_arguments(tmp_path / "runs"), tmp_path)
    run.wait_for(lambda: len(run.living()) > 1)
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.communicate()
    deadline = time.monotonic() + 5
    while run.living() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not run.living()


def test_a_second_process_is_refused_while_the_first_one_writes(tmp_path: Path, prefect_api: str) -> None:
    root = tmp_path / "runs" / "small"
    first = command(small_arguments(tmp_path / "runs", "iterations=500", "questions.count=300"), tmp_path, prefect_api)
    first.wait_for((root / "ledger.duckdb").exists)
    code, output = command(small_arguments(tmp_path / "runs"), tmp_path, prefect_api).finish()
    first.signal_group(signal.SIGKILL)
    first.process.communicate()
    assert code == 2
    assert "being written by another process" in output
    assert str(first.process.pid) in output


def test_another_configuration_under_the_same_name_is_refused_and_shown(
    uninterrupted: tuple[Path, float], prefect_api: str
) -> None:
    whole, _ = uninterrupted
    arguments = small_arguments(whole.parent, "rl.optimizer.lr=0.5")
    code, output = command(arguments, whole.parent, prefect_api).finish()
    assert code == 2
    assert "rl.optimizer.lr: 0.0002 -> 0.5" in output
    assert "Traceback" not in output


def test_the_command_of_a_finished_run_prints_its_table(uninterrupted: tuple[Path, float], prefect_api: str) -> None:
    whole, _ = uninterrupted
    code, output = command(small_arguments(whole.parent), whole.parent, prefect_api).finish()
    assert code == 0
    assert "mulsub" in output
    assert "--fresh" in output


def test_a_run_with_a_warm_start_killed_within_it_and_after_it_ends_as_if_it_had_not_been(
    tmp_path: Path, prefect_api: str
) -> None:
    settings = ("iterations=3", "warm_start={demonstrations=12, epochs=3, minibatch=4, optimizer={lr=1e-3}}")
    with open_run(small_config(tmp_path / "whole", *settings), "small") as whole:
        expected = drive(whole, 3)[-1].checksum
    root = tmp_path / "runs" / "small"
    for recorded in ("warm_start/00000", "00001/rollout"):
        run = command(small_arguments(tmp_path / "runs", *settings), tmp_path, prefect_api)
        run.wait_for((root / "iterations" / recorded / "manifest.json").exists)
        run.signal_group(signal.SIGKILL)
        run.process.communicate()
    code, output = command(small_arguments(tmp_path / "runs", *settings), tmp_path, prefect_api).finish()
    assert code == 0 and "warm start" in output, output
    summary = json.loads((root / "summary.json").read_text())
    assert summary["weights_sha256"] == expected
    assert summary["mean_start"] != summary["mean_base"] and summary["demonstrations"] >= 12
    with Ledger.open(root / "ledger.duckdb", "small") as ledger:
        [(uses,)] = ledger.execute("SELECT count(*) FROM uses WHERE iteration = -1")
        evaluated = ledger.execute("SELECT DISTINCT iteration, version FROM evaluations ORDER BY ALL")
    assert uses == 3 * 12 and evaluated[:2] == [(-1, 0), (0, 3)]
