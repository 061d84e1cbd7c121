"""Artifacts: whole or not there, and refused when damaged."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from relift.config.recipe import load_recipe
from relift.errors import ConfigError, StoreError
from relift.store import MANIFEST, FolderStore, open_store
from relift.store.folder import require_space
from relift.store.manifest import digest
from relift.store.uris import require_uri


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_what_was_published_is_read_back_and_its_manifest_says_what_it_is(store: FolderStore) -> None:
    store.publish(
        "a/b", {"x": b"one", "y": lambda path: path.write_bytes(b"two")}, inputs="i", counts={"n": 2}, facts={"k": [1]}
    )
    manifest = store.manifest("a/b")
    assert manifest is not None
    assert (manifest.inputs, manifest.counts, manifest.facts) == ("i", {"n": 2}, {"k": [1]})
    assert [(entry.name, entry.bytes) for entry in manifest.files] == [("x", 3), ("y", 3)]
    assert store.read("a/b", "x") == b"one"
    assert store.checked_path("a/b", "y").read_bytes() == b"two"
    assert store.keys("a") == ["a/b"]


def test_an_artifact_whose_writing_failed_does_not_exist(store: FolderStore) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match="no space left"):
        store.publish("a", {"x": b"one", "y": fail}, inputs="i")
    assert store.manifest("a") is None
    assert store.keys(".") == []
    with pytest.raises(StoreError, match="never finished"):
        store.read("a", "x")


@pytest.mark.parametrize("damage", [b"onf", b"on", b""])
def test_a_damaged_file_is_refused(store: FolderStore, damage: bytes) -> None:
    store.publish("a", {"x": b"one"}, inputs="i")
    (store.path("a") / "x").write_bytes(damage)
    with pytest.raises(StoreError, match="checksum"):
        store.read("a", "x")
    with pytest.raises(StoreError, match="checksum"):
        store.checked_path("a", "x")


def test_a_manifest_of_a_newer_format_or_a_damaged_one_is_refused(store: FolderStore) -> None:
    store.publish("a", {}, inputs="i")
    path = store.path("a") / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(StoreError, match="newer version"):
        store.manifest("a")
    path.write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        store.manifest("a")


def test_a_removed_artifact_is_gone(store: FolderStore) -> None:
    store.publish("a", {"x": b"one"}, inputs="i")
    store.remove("a")
    assert store.manifest("a") is None
    store.remove("a")


def test_too_little_space_is_said_before_work_starts(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "yet" / "there", 1)
    with pytest.raises(StoreError, match="GiB free"):
        require_space(tmp_path, 1 << 60)


@pytest.mark.parametrize("uri", ["ftp://host/runs", "s3:/bucket/runs", "s3:bucket/runs", "S3://bucket", "gs:/bucket"])
def test_an_unknown_scheme_or_one_with_too_few_slashes_is_refused(uri: str) -> None:
    with pytest.raises(StoreError, match="only folders"):
        open_store(uri, Path("runs"))


@pytest.mark.parametrize("path", ["runs", "/data/runs", "a:b", "runs:old", "2026-01-31T12:00/runs", "~/runs"])
def test_a_folder_may_have_a_colon_in_its_name(path: str) -> None:
    assert open_store(path, Path("runs")).root == Path(path).expanduser()


def test_a_digest_changes_with_any_part_and_not_with_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len({digest("a", 1), digest("a", 2), digest("a1"), digest(["a", 1])}) == 4


@pytest.mark.parametrize(
    ("uri", "means"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b//", "s3://bucket/a/b"),
        ("runs/", "runs/"),
        ("/data//runs", "/data//runs"),
    ],
)
def test_slashes_at_the_end_of_a_uri_mean_nothing(uri: str, means: str) -> None:
    assert require_uri(uri) == means


@pytest.mark.parametrize(
    "uri",
    [
        "s3://",
        "s3:///x",
        "s3://bucket//a//b",
        "s3://bucket/a//b",
        "s3://bucket/./a",
        "s3://bucket/a/../b",
        "s3://bucket/a b",
        "s3://bucket/a\tb",
        "s3://bucket/a\\b",
        "s3:/bucket",
        "file:///x",
        "a\0b",
    ],
)
def test_a_uri_that_is_not_the_same_on_every_server_is_refused_where_it_is_given(uri: str) -> None:
    with pytest.raises(StoreError, match=r"store="):
        require_uri(uri)
    with pytest.raises(ConfigError, match="store"):
        load_recipe("demo", [f"store={json.dumps(uri)}"])
