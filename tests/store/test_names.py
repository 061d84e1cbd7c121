"""A bucket or a folder that a stranger wrote: whatever names it holds, nothing lies outside of the run afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from relift.errors import StoreError
from relift.interrupt import StopFlag
from relift.ledger.attached import Location, attach, sources_of
from relift.store import MANIFEST, FolderStore
from relift.store.manifest import Manifest
from relift.store.names import checked
from relift.store.s3 import S3Store
from relift.store.snapshots import ledgers_folder
from tests.store.s3_stub import BUCKET, Stub, serving

CLIMBING = (
    "../../x",
    "..",
    "/tmp/x",
    "a/../../b",
    "./x",
    "a//b",
    "a/",
    "..\\x",
    "C:x",
    "a\0b",
    "a\nb",
    "a\x1b[31mb",
    "a\u202eb",
    "a" * 256,
    "/".join(["a" * 100] * 11),
    "",
)
KEY = "iterations/00001/rollout"
EVIL = b"written by a stranger"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with serving() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


def manifest_naming(name: object, content: bytes = EVIL) -> bytes:
    entry = {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps({"format": 1, "inputs": "i", "files": [entry], "counts": {}, "facts": {}}).encode()


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", [*CLIMBING, 7, None, ["x"], "\ud800"], ids=ascii)
def test_no_manifest_names_a_file_outside_of_its_folder(name: object) -> None:
    with pytest.raises(StoreError, match=r"s3://b/a/manifest.json .*written by something else|is damaged"):
        Manifest.from_json(manifest_naming(name), "s3://b/a")


@pytest.mark.parametrize("name", ["a", "a/b.parquet", "Übung 3.txt", "..a", "a..", "." * 3, "ab:c", "モデル"])
def test_every_name_below_its_folder_is_let_through(name: str) -> None:
    assert checked(name, where="here") == name


def test_a_manifest_in_a_bucket_that_climbs_out_writes_nothing(stub: Stub, tmp_path: Path) -> None:
    """The key under which the object lies is the very one that the manifest leads to."""
    stub.put(f"runs/demo/{KEY}/{MANIFEST}", manifest_naming("../../../../../x"))
    for key in ("runs/demo/iterations/00001/rollout/../../../../../x", "x", "runs/x", "../x"):
        stub.put(key, EVIL)
    root = tmp_path / "work" / "demo"
    store = S3Store(f"s3://{BUCKET}/runs/demo", root)
    for read in (lambda: store.bring(KEY), lambda: store.manifest(KEY), lambda: store.read(KEY, "../x")):
        with pytest.raises(StoreError, match=rf"s3://{BUCKET}/runs/demo/{KEY}/manifest.json .*something else"):
            read()
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("key", ["iterations/../../../x", "iterations//x", "iterations/a\\..\\x", "iterations/a\x07b"])
def test_a_listing_that_climbs_out_ends_what_asks_for_it(stub: Stub, tmp_path: Path, key: str) -> None:
    stub.put(f"runs/demo/{key}/{MANIFEST}", manifest_naming("x"))
    store = S3Store(f"s3://{BUCKET}/runs/demo", tmp_path / "work" / "demo")
    for ask in (lambda: store.keys("iterations"), lambda: store.folders("iterations"), store.bucket.names):
        with pytest.raises(StoreError, match=rf"listing of s3://{BUCKET}/runs/demo names .*something else"):
            ask()
    assert files_in(tmp_path) == []


def test_the_mark_of_an_empty_folder_is_no_object(stub: Stub, tmp_path: Path) -> None:
    for key in ("runs/demo/", "runs/demo/iterations/"):
        stub.put(key, b"")
    stub.put(f"runs/demo/{KEY}/{MANIFEST}", manifest_naming("x"))
    store = S3Store(f"s3://{BUCKET}/runs/demo", tmp_path)
    assert store.bucket.names() == [f"{KEY}/{MANIFEST}"]


@pytest.mark.parametrize("run", ["..", "a\\b", "", "a\x1b[2Jb"], ids=ascii)
def test_runs_of_a_bucket_with_names_that_climb_are_not_fetched(stub: Stub, tmp_path: Path, run: str) -> None:
    stub.put(f"runs/{run}/hard_examples.duckdb", EVIL)
    for ask in (
        lambda: ledgers_folder(f"s3://{BUCKET}/runs", tmp_path / "cache"),
        lambda: attach(tmp_path / "runs", f"s3://{BUCKET}/runs"),
    ):
        with pytest.raises(StoreError, match="something else"):
            ask()
    assert files_in(tmp_path) == []


def test_a_parquet_ledger_of_a_bucket_with_names_that_climb_is_not_fetched(stub: Stub, tmp_path: Path) -> None:
    for name in ("runs.parquet", "..\\x.parquet"):
        stub.put(f"ledger/{name}", EVIL)
    with pytest.raises(StoreError, match="something else"):
        sources_of(tmp_path, Location(name="p", uri=f"s3://{BUCKET}/ledger"))
    assert files_in(tmp_path) == []


def test_a_manifest_larger_than_any_of_ours_is_not_read(stub: Stub, tmp_path: Path) -> None:
    stub.put(f"demo/{KEY}/{MANIFEST}", b"{")
    stub.announced[f"demo/{KEY}/{MANIFEST}"] = 1 << 30
    with pytest.raises(StoreError, match=r"1,024 MiB.*something else"):
        S3Store(f"s3://{BUCKET}/demo", tmp_path / "demo").manifest(KEY)
    folder = FolderStore(tmp_path / "local")
    folder.path("a").mkdir(parents=True)
    with (folder.path("a") / MANIFEST).open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(StoreError, match=r"1,024 MiB.*something else"):
        folder.manifest("a")


def test_a_manifest_nested_without_end_is_damaged() -> None:
    with pytest.raises(StoreError, match="damaged"):
        Manifest.from_json(b'{"format": 1, "inputs": "i", "files": ' + b"[" * 200_000, "a")


@pytest.mark.parametrize("link", ["artifact", "parent", "partial"])
def test_nothing_is_written_through_a_link_that_leads_out_of_the_run(tmp_path: Path, link: str) -> None:
    outside, store = tmp_path / "outside", FolderStore(tmp_path / "run")
    outside.mkdir()
    (outside / "precious").write_bytes(b"mine")
    (outside / MANIFEST).write_bytes(b"mine")
    if link == "partial":
        store.path("a/b").mkdir(parents=True)
        (store.path("a/b") / "x.partial").symlink_to(outside / "precious")
    else:
        made = store.path("a/b") if link == "artifact" else store.path("a")
        made.parent.mkdir(parents=True)
        made.symlink_to(outside, target_is_directory=True)
    with pytest.raises(StoreError, match=r"leads out of .* by a symbolic link"):
        store.publish("a/b", {"x": EVIL}, inputs="i")
    assert files_in(outside) == [MANIFEST, "precious"]
    assert {(outside / name).read_bytes() for name in (MANIFEST, "precious")} == {b"mine"}


def test_a_download_does_not_follow_a_link_out_of_the_working_copy(stub: Stub, tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "demo"
    outside.mkdir()
    stub.put(f"demo/{KEY}/{MANIFEST}", manifest_naming("x"))
    stub.put(f"demo/{KEY}/x", EVIL)
    root.mkdir()
    (root / "iterations").symlink_to(outside, target_is_directory=True)
    with pytest.raises(StoreError, match="symbolic link"):
        S3Store(f"s3://{BUCKET}/demo", root).bring(KEY)
    assert files_in(outside) == []


def test_a_run_folder_that_is_itself_a_link_is_written_as_before(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk", target_is_directory=True)
    store = FolderStore(tmp_path / "run")
    store.publish("a", {"x": b"one"}, inputs="i")
    assert store.read("a", "x") == b"one"


def test_the_stub_serves_what_an_honest_writer_stored(stub: Stub, tmp_path: Path) -> None:
    """Without this the tests above might pass for a server that answers nothing at all."""
    writer = S3Store(f"s3://{BUCKET}/demo", tmp_path / "a")
    writer.acquire(StopFlag())
    try:
        writer.publish(KEY, {"x": EVIL, "y": b"2" * 1000}, inputs="i")
    finally:
        writer.release()
    reader = S3Store(f"s3://{BUCKET}/demo", tmp_path / "b")
    reader.bring(KEY)
    assert (tmp_path / "b" / KEY / "x").read_bytes() == EVIL
    assert reader.keys("iterations/00001") == [KEY]


def test_a_manifest_asked_for_what_it_does_not_say_is_named(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.publish("a", {}, inputs="i", counts={"n": 1}, facts={"k": 1})
    found = store.manifest("a")
    assert found is not None and found.facts["k"] == 1 and found.counts["n"] == 1
    for told in (found.facts, found.counts):
        with pytest.raises(StoreError, match=rf"{tmp_path}/a/manifest.json does not say 'hardest'"):
            told["hardest"]
    assert found.facts.get("hardest") is None
