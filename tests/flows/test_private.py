"""Files of a project are readable by their user alone, whoever of us, DuckDB or Prefect writes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.private import keep_private
from flows.run_name import enter_project
from relift.errors import ConfigError
from relift.ledger import Ledger
from relift.run.lock import RunLock
from relift.store import FolderStore


@pytest.fixture(autouse=True)
def everybody_reads() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def write_a_run(folder: Path) -> None:
    lock = RunLock(folder / "runs" / "demo" / "lock")
    lock.acquire()
    lock.release()
    FolderStore(folder / "runs" / "demo").publish("iterations/00000/rollout", {"x": b"text"}, inputs="i")
    with Ledger.open(folder / "runs" / "demo" / "ledger.duckdb", "demo") as ledger:
        ledger.publish(folder / "runs" / "demo" / "hard_examples.duckdb")


def test_nobody_else_reads_what_is_written(tmp_path: Path) -> None:
    keep_private()
    write_a_run(tmp_path)
    found = modes(tmp_path)
    assert len(found) >= 8
    assert {name: mode for name, mode in found.items() if mode & 0o077} == {}


def test_the_command_line_and_every_flow_run_of_a_worker_begin_with_it(tmp_path: Path) -> None:
    program = (
        "import os, sys; sys.argv = ['relift', '--help']\n"
        "from flows.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('mask', oct(os.umask(0)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.endswith("mask 0o77\n")
    enter_project()
    assert os.umask(0) == 0o077


@pytest.mark.parametrize(("given", "mode"), [("027", 0o640), ("22", 0o644), ("0077", 0o600)])
def test_a_project_is_shared_where_its_user_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, mode: int
) -> None:
    monkeypatch.setenv("RELIFT_UMASK", given)
    keep_private()
    (tmp_path / "x").write_text("")
    assert modes(tmp_path) == {"x": mode}


@pytest.mark.parametrize("given", ["yes", "0o77", "89", "-1", "777", "00077", "²"])
def test_what_is_no_umask_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("RELIFT_UMASK", given)
    with pytest.raises(ConfigError, match="RELIFT_UMASK"):
        keep_private()
