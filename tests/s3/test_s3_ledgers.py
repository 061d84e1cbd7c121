"""Ledgers of a bucket beside a local project, and imports into a project that lies in a bucket."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "ledger"))
from exchange_project import OPEN, TAUGHT, worked, write_run

from relift.errors import LedgerError
from relift.exchange import import_solutions
from relift.exchange.tables import export_tables
from relift.ledger import query
from relift.ledger.attached import attach, detach
from relift.policy.model import load_student
from relift.store.bucket import Bucket
from relift.store.folder import sha256_of
from relift.store.snapshots import ledgers_folder, upload_files
from relift.teacher.imported import ImportedTeacher
from relift.verifier import Verifier
from tests.small_run import small_config

pytestmark = pytest.mark.s3
STATES = "SELECT run, state FROM hard_examples WHERE question_id = '{}' ORDER BY run"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs", "demo-0")
    write_run(tmp_path / "seven", "demo-0", demonstrations=[worked()])
    return tmp_path / "runs"


def upload(uri: str, path: Path) -> None:
    Bucket(uri).upload(path.name, path, sha256_of(path))


def test_runs_a_snapshot_and_parquet_in_a_bucket_are_attached_alike(store: Path, tmp_path: Path, prefix: str) -> None:
    snapshot = tmp_path / "seven" / "demo-0" / "hard_examples.duckdb"
    upload(f"{prefix}/runs/demo-0", snapshot)
    upload(f"{prefix}/alone", snapshot)
    upload_files(f"{prefix}/tables", export_tables(tmp_path / "seven", tmp_path / "tables", []))
    wanted = (("demo-0", "open"), ("seven/demo-0", "learned"))
    for uri in (f"{prefix}/runs", f"{prefix}/alone", f"{prefix}/alone/hard_examples.duckdb", f"{prefix}/tables"):
        attach(store, uri, "seven")
        assert query(store, STATES.format(TAUGHT.id)).rows == wanted, uri
        detach(store, "seven")


def test_what_changes_in_the_bucket_is_seen_and_its_loss_is_said(
    store: Path, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upload(f"{prefix}/alone", tmp_path / "seven" / "demo-0" / "hard_examples.duckdb")
    attach(store, f"{prefix}/alone/hard_examples.duckdb", "seven")
    write_run(tmp_path / "later", "demo-1")
    upload(f"{prefix}/alone", tmp_path / "later" / "demo-1" / "hard_examples.duckdb")
    assert query(store, "SELECT run FROM runs ORDER BY run").rows == (("demo-0",), ("seven/demo-1",))
    Bucket(f"{prefix}/alone").delete(["hard_examples.duckdb"])
    assert len(query(store, "SELECT run FROM runs").rows) == 2  # the copy of last time, with a warning
    assert "does not exist" in caplog.text
    with pytest.raises(LedgerError, match="holds no ledger"):
        attach(store, f"{prefix}/nothing", "none")


def test_an_import_into_a_bucket_reaches_its_runs_on_any_machine(
    store: Path, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    upload(f"{prefix}/demo-0", store / "demo-0" / "hard_examples.duckdb")
    rows = tmp_path / "people.jsonl"
    rows.write_text(json.dumps({"question_id": OPEN.id, "solution": "=10+32=42"}))
    report = import_solutions(str(rows), store=prefix, folder=ledgers_folder(prefix), runs=["demo-0"])
    assert report.taken == 1 and f"{report.name}" in Bucket(prefix).folders()
    config = small_config(tmp_path, f"store={prefix}", f"scratch={tmp_path / 'elsewhere'}")
    teacher = ImportedTeacher(config, "demo-0", verifier=Verifier("equals"), student=load_student(config.policy))
    (offered,) = teacher.demonstrations([OPEN])
    assert offered.is_admitted and offered.source == "human/people"
    again = import_solutions(str(rows), store=prefix, folder=ledgers_folder(prefix), runs=["demo-0"])
    assert again.was_there and again.name == report.name
