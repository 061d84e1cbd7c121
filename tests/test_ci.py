"""What .ci/run makes of the checks of whole systems: held, did not hold, or could not run here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
CHECKS = [
    "test-s3",
    "test-vllm",
    "test-prefect",
    "test-teacher",
    "test-ledger-clients",
    "test-attacks",
    "test-models",
    "test-wheel",
    "test-slow",
]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def ci(folder: Path, *cases: str, **limits: int) -> tuple[int, str, list[str]]:
    """(exit code, output, targets made) of .ci/run with a `make` that answers these cases, within these seconds."""
    made = folder / "made"
    script(folder / "bin" / "make", f'echo "$1" >> {made}\ncase "$1" in {" ".join(cases)} *) ;; esac')
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "RELIFT_DATA": "/none"}
    environment |= {f"RELIFT_CI_{name.upper()}": str(seconds) for name, seconds in limits.items()}
    told = subprocess.run(
        [folder / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return told.returncode, told.stdout, made.read_text().split()


def test_a_check_that_could_not_run_is_said_with_its_reason_and_does_not_reject(tmp_path: Path) -> None:
    code, output, made = ci(tmp_path, 'test-vllm) echo "NOT RUN: test-vllm: no wheel for this machine" >&2 ;;')
    assert code == 0, output
    assert made == ["lint", "test", *CHECKS]
    assert "== test-vllm: NOT RUN: no wheel for this machine\n" in output
    assert output.count(": held\n") == len(CHECKS) - 1


def test_a_check_that_fails_rejects_after_all_of_them_ran(tmp_path: Path) -> None:
    code, output, made = ci(tmp_path, "test-s3) exit 2 ;;")
    assert code == 1
    assert made == ["lint", "test", "test-s3", *CHECKS]
    assert "== test-s3: DID NOT HOLD, look above" in output and output.endswith("rejected: test-s3 did not hold\n")


def test_a_check_that_fails_once_is_said_and_run_again(tmp_path: Path) -> None:
    code, output, made = ci(
        tmp_path, f"test-s3) [ -e {tmp_path / 'again'} ] || {{ touch {tmp_path / 'again'}; exit 2; }} ;;"
    )
    assert code == 0
    assert made == ["lint", "test", "test-s3", *CHECKS]
    assert "== test-s3: DID NOT HOLD, once more" in output and output.count(": held\n") == len(CHECKS)


def test_a_check_that_fails_late_is_not_run_again(tmp_path: Path) -> None:
    code, output, made = ci(tmp_path, "test-s3) exit 2 ;;", again_seconds=0)
    assert code == 1
    assert made == ["lint", "test", *CHECKS]
    assert "once more" not in output and output.endswith("rejected: test-s3 did not hold\n")


def test_a_check_that_hangs_is_stopped_with_what_it_started_and_rejects(tmp_path: Path) -> None:
    hang = f"test-vllm) sleep 50 & echo $! > {tmp_path / 'child'}; wait ;;"
    code, output, made = ci(tmp_path, hang, check_seconds=1, again_seconds=0)
    assert code == 1
    assert made == ["lint", "test", *CHECKS], "the others ran"
    assert "== test-vllm: stopped after 1 s\n== test-vllm: DID NOT HOLD, look above\n" in output
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "cmdline"
    assert not child.exists() or b"sleep" not in child.read_bytes()


def test_what_there_is_no_time_for_is_said_and_does_not_reject(tmp_path: Path) -> None:
    code, output, made = ci(tmp_path, "test-s3) exec sleep 50 ;;", seconds=2, least_seconds=1)
    assert code == 0
    assert made == ["lint", "test", "test-s3"]
    assert "== test-s3: NOT RUN to its end: all 0 minutes are gone\n" in output
    assert output.count(": NOT RUN: 0 of 0 minutes are gone\n") == len(CHECKS) - 1


def test_what_failed_before_the_time_was_over_rejects(tmp_path: Path) -> None:
    again = tmp_path / "again"
    slow = f"test-s3) [ ! -e {again} ] || exec sleep 50; touch {again}; exit 2 ;;"
    code, output, _ = ci(tmp_path, slow, seconds=2, least_seconds=1)
    assert code == 1
    assert output.endswith("rejected: test-s3 did not hold\n")


@pytest.mark.parametrize("target", ["lint", "test"])
def test_lint_and_tests_that_fail_or_hang_reject_at_once(tmp_path: Path, target: str) -> None:
    for number, how in enumerate(("exit 2", "exec sleep 50")):
        code, _, made = ci(tmp_path / str(number), f"{target}) {how} ;;", seconds=1)
        assert code != 0
        assert made[-1] == target


@needs_make
@pytest.mark.parametrize(("code", "expected"), [(75, 0), (1, 2)])
def test_vllm_that_cannot_be_had_is_no_failure_and_one_that_breaks_is(tmp_path: Path, code: int, expected: int) -> None:
    script(tmp_path / "tests" / "vllm" / "environment.sh", f"exit {code}")
    # Left behind by an earlier check: nothing may be run in it.
    script(tmp_path / ".venv-vllm" / "bin" / "python", "echo tests ran")
    script(tmp_path / ".venv-vllm" / ".installed", "")
    made = subprocess.run(
        ["make", "-f", ROOT / "Makefile", "test-vllm"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == expected, made.stderr
    assert "tests ran" not in made.stdout


def test_a_machine_without_vllm_is_told_why_in_the_words_that_ci_looks_for(tmp_path: Path) -> None:
    old_python = script(tmp_path / "python", "exit 1")  # "is it Python 3.11?" it is not
    told = subprocess.run(
        [ROOT / "tests" / "vllm" / "environment.sh", tmp_path / "venv", old_python],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 75
    assert told.stderr.startswith("NOT RUN: test-vllm: vLLM for processors cannot be had here: its ")
