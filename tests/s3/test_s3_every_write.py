"""The process may die between any two writes to the bucket: any folder goes on from there to the same end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from relift.opening.run import open_run
from relift.phases.checkpoint import checkpoint
from relift.phases.evaluate import evaluate
from relift.run.run import Run
from relift.store.bucket import Bucket
from tests.phases.conftest import drive
from tests.s3 import server
from tests.small_run import small_config

pytestmark = [pytest.mark.s3, pytest.mark.slow]
ITERATIONS = 4
SETTINGS = ("checkpoint.every=2", f"iterations={ITERATIONS}", "checkpoint.keep=1", "evaluation.questions=2")
# `make test-s3 RELIFT_TEST_EVERY=1` tries every write; by default each seventh one is the last.
EVERY = int(os.environ.get("RELIFT_TEST_EVERY", "7"))


class Died(BaseException):
    """Nothing catches it, as nothing survives a kill."""


class Mortal:
    """Lets a process write so many times to any bucket, and not once more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int | None = None) -> None:
        self.written = 0
        self.last = last
        for name in ("put", "upload", "delete"):
            monkeypatch.setattr(Bucket, name, self._counted(getattr(Bucket, name)))

    def _counted(self, real: Any) -> Any:
        def write(*args: Any, **kwargs: Any) -> Any:
            if self.last is not None and self.written >= self.last:
                raise Died
            self.written += 1
            return real(*args, **kwargs)

        return write


def train(run: Run) -> tuple[str, str, dict[str, int]]:
    """(weights, ledger's contents, ledger's counts) at the end: the train flow without Prefect."""
    evaluate(run, 0, run.base, full=True)
    version = [run.resume()[1], *drive(run, ITERATIONS)][-1]
    checkpoint(run, ITERATIONS, version)
    evaluate(run, ITERATIONS, version, full=True)
    run.complete()
    return run.policy.at(version) and version.checksum, run.ledger.digest(), run.ledger.counts()


def opened(store: str | Path, scratch: Path) -> Run:
    scratched = (f"scratch={scratch}",) if str(store).startswith("s3:") else ()
    return open_run(small_config(store, *SETTINGS, *scratched), "small")  # type: ignore[arg-type]


def test_a_death_between_any_two_writes_loses_nothing_and_counts_nothing_twice(
    prefix: str, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "whole", tmp_path) as run:
        expected = train(run)
    with monkeypatch.context() as patched, opened(f"{prefix}/whole", tmp_path / "scratch") as run:
        counted = Mortal(patched)
        assert train(run) == expected
    assert counted.written > 50

    for last in range(1, counted.written + EVERY, EVERY):
        uri = f"{prefix}/{last}"
        with monkeypatch.context() as patched:
            Mortal(patched, last)
            with pytest.raises(Died), opened(uri, tmp_path / "dead") as run:
                train(run)
        let_go(s3, uri)
        where = "dead" if last % 2 else "elsewhere"  # in its own folder, or in an empty one
        with opened(uri, tmp_path / where) as run:
            assert train(run) == expected, f"after {last} of {counted.written} writes, in the folder {where}"
            here = {path.relative_to(run.root).as_posix() for path in run.root.rglob("manifest.json")}
            assert here <= set(run.store.bucket.names()), "the folder calls finished what the bucket does not hold"
        for folder in ("dead", "elsewhere"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)


def let_go(s3: Any, uri: str) -> None:
    """The lease, as it is when it expires; the process that dies here is this one, and lives on."""
    key = uri.removeprefix(f"s3://{server.BUCKET}/") + "/small/lease.json"
    try:
        content = s3.get_object(Bucket=server.BUCKET, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return
    released = content.replace(b'"is_released": false', b'"is_released": true')
    s3.put_object(Bucket=server.BUCKET, Key=key, Body=released)
