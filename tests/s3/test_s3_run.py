"""Whole runs whose artifacts are in a bucket end as those in a folder, also killed and resumed from the URI alone."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from relift.ledger import Ledger
from tests.flows.conftest import Command
from tests.s3 import server
from tests.small_run import SETTINGS, small_arguments

pytestmark = [pytest.mark.s3, pytest.mark.flow]
KILLS = int(os.environ.get("RELIFT_TEST_KILLS", "2"))


def command(arguments: list[str], folder: Path, api: str) -> Command:
    """A relift process in a folder of its own, as on another machine."""
    folder.mkdir(exist_ok=True)
    return Command(arguments, folder, api).start()


def s3_arguments(prefix: str, *more: str) -> list[str]:
    settings = [*SETTINGS, f"store={prefix}", *more]
    return ["train", "demo", "--name", "small", *(part for s in settings for part in ("--set", s))]


def outcome(root: Path) -> tuple[str, str, dict[str, int]]:
    """(weights, ledger's contents, ledger's counts) of a finished run."""
    summary = json.loads((root / "summary.json").read_text())
    with Ledger.open(root / "ledger.duckdb", "small") as ledger:
        return summary["weights_sha256"], ledger.digest(), ledger.counts()


def stored(s3: Any, prefix: str) -> set[str]:
    """Names of everything the run has in the bucket."""
    below = prefix.removeprefix(f"s3://{server.BUCKET}/") + "/small/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=server.BUCKET, Prefix=below)
    return {entry["Key"].removeprefix(below) for page in pages for entry in page.get("Contents", ())}


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Path:
    """Root of the run whose store is a folder."""
    folder = tmp_path_factory.mktemp("folder")
    code, output = command(small_arguments(folder / "runs"), folder, prefect_api).finish()
    assert code == 0, output
    return folder / "runs" / "small"


def test_a_run_in_a_bucket_ends_as_the_one_in_a_folder_and_all_of_it_is_there(
    in_folder: Path, prefix: str, s3: Any, tmp_path: Path, prefect_api: str
) -> None:
    code, output = command(s3_arguments(prefix), tmp_path / "a", prefect_api).finish()
    assert code == 0, output
    assert outcome(tmp_path / "a" / "runs" / "small") == outcome(in_folder)

    there = stored(s3, prefix)
    only_here = {"ledger.duckdb", "lock"}
    here = {p.relative_to(in_folder).as_posix() for p in in_folder.rglob("*") if p.is_file()} - only_here
    assert here <= there
    assert there - here == {"lease.json"}

    # The command of a finished run, on a machine that never saw it, prints its table.
    code, output = command(s3_arguments(prefix), tmp_path / "b", prefect_api).finish()
    assert code == 0 and "is finished" in output, output
    code, output = command(["resume", f"{prefix}/small"], tmp_path / "b", prefect_api).finish()
    assert code == 0 and "is finished" in output, output
    code, output = command(s3_arguments(prefix, "rl.optimizer.lr=0.5"), tmp_path / "b", prefect_api).finish()
    assert code == 2 and "rl.optimizer.lr: 0.0002 -> 0.5" in output


def test_a_run_killed_at_random_moments_goes_on_in_empty_folders_to_the_same_end(
    in_folder: Path, prefix: str, s3: Any, tmp_path: Path, prefect_api: str
) -> None:
    seconds = json.loads((in_folder / "summary.json").read_text())["seconds"]
    moments = random.Random(11)
    run = command(s3_arguments(prefix), tmp_path / "0", prefect_api)
    for kill in range(KILLS):
        run.wait_for((tmp_path / str(kill) / "runs" / "small" / "ledger.duckdb").exists)
        time.sleep(moments.uniform(0.2, seconds))
        run.signal_group(signal.SIGKILL)
        run.process.communicate()
        assert "run.json" in stored(s3, prefix)
        # An empty folder: nothing but the URI is known there.
        run = command(["resume", f"{prefix}/small"], tmp_path / str(kill + 1), prefect_api)
    code, output = run.finish()
    assert code == 0, output
    assert outcome(tmp_path / str(KILLS) / "runs" / "small") == outcome(in_folder)


def test_a_run_killed_while_it_uploads_a_checkpoint_goes_on_in_an_empty_folder(
    in_folder: Path, prefix: str, tmp_path: Path, prefect_api: str
) -> None:
    run = command(s3_arguments(prefix), tmp_path / "0", prefect_api)
    for machine, iteration in enumerate((3, 6)):
        run.wait_for((tmp_path / str(machine) / "runs" / "small" / "checkpoints" / f"{iteration:05d}").exists)
        run.signal_group(signal.SIGKILL)
        run.process.communicate()
        run = command(["resume", f"{prefix}/small"], tmp_path / str(machine + 1), prefect_api)
    code, output = run.finish()
    assert code == 0, output
    assert outcome(tmp_path / "2" / "runs" / "small") == outcome(in_folder)


def test_a_second_machine_is_refused_while_the_first_one_writes(prefix: str, tmp_path: Path, prefect_api: str) -> None:
    first = command(s3_arguments(prefix, "iterations=500"), tmp_path / "a", prefect_api)
    first.wait_for((tmp_path / "a" / "runs" / "small" / "ledger.duckdb").exists)
    code, output = command(["resume", f"{prefix}/small"], tmp_path / "b", prefect_api).finish()
    first.signal_group(signal.SIGKILL)
    first.process.communicate()
    assert code == 2
    assert f"being written by another process: {socket.gethostname()}, process {first.process.pid}" in output
    assert "Traceback" not in output
    assert not (tmp_path / "b" / "runs" / "small").exists()


def test_resuming_what_is_not_there_is_refused(prefix: str, tmp_path: Path, prefect_api: str) -> None:
    for uri, message in [
        (f"{prefix}/absent", "there is no run at s3://"),
        ("ftp://host/run", "only folders and s3:// buckets"),
        ("runs/absent", "there is no run at"),
    ]:
        code, output = command(["resume", uri], tmp_path / "a", prefect_api).finish()
        assert code == 2 and message in output, output
        assert "Traceback" not in output


def test_fresh_starts_the_run_anew(prefix: str, s3: Any, tmp_path: Path, prefect_api: str) -> None:
    short = ("iterations=2", "evaluation=off")
    code, output = command(s3_arguments(prefix, *short), tmp_path / "a", prefect_api).finish()
    assert code == 0, output
    other = s3_arguments(prefix, *short, "rl.optimizer.lr=1e-4")
    code, output = command([*other, "--fresh"], tmp_path / "b", prefect_api).finish()
    assert code == 0, output
    assert "removed.json" not in stored(s3, prefix)
    key = prefix.removeprefix(f"s3://{server.BUCKET}/") + "/small/run.json"
    identity = json.loads(s3.get_object(Bucket=server.BUCKET, Key=key)["Body"].read())
    assert identity["config"]["rl"]["optimizer"]["lr"] == 1e-4
