"""Artifacts in a bucket: whole or not there, refused when damaged, one writer at a time."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from relift.errors import Interrupted, RunError, StoreError
from relift.interrupt import StopFlag
from relift.store import MANIFEST, open_store
from relift.store.lease import LEASE
from relift.store.s3 import S3Store
from tests.s3 import server
from tests.s3.slow_line import slow_line

pytestmark = pytest.mark.s3
Opener = Callable[..., S3Store]


@pytest.fixture
def writer(prefix: str, tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of one run for writing in a folder of that name; closed at the end."""
    opened = []

    def open_writer(folder: str = "a", *, stop: StopFlag | None = None, ttl: float = 60.0) -> S3Store:
        store = S3Store(f"{prefix}/run", tmp_path / folder, ttl_seconds=ttl)
        store.acquire(stop or StopFlag())
        opened.append(store)
        return store

    yield open_writer
    for store in opened:
        store.release()


def begin(store: S3Store) -> None:
    """What makes it a run."""
    (store.root / "run.json").write_text("{}")
    store.put_file("run.json")


def keys(s3: Any, store: S3Store) -> list[str]:
    found = s3.list_objects_v2(Bucket=server.BUCKET, Prefix=store.bucket.prefix + "/").get("Contents", ())
    return sorted(entry["Key"].removeprefix(store.bucket.prefix + "/") for entry in found)


def overwrite(s3: Any, store: S3Store, name: str, content: bytes) -> None:
    s3.put_object(Bucket=server.BUCKET, Key=f"{store.bucket.prefix}/{name}", Body=content)


def test_what_was_published_is_read_on_another_machine(writer: Opener, prefix: str, tmp_path: Path) -> None:
    here = writer()
    files = {"x": b"one", "y": lambda path: path.write_bytes(b"two")}
    made = here.publish("a/b", files, inputs="i", counts={"n": 2}, facts={"k": [1]})
    begin(here)
    here.release()

    there = S3Store(f"{prefix}/run", tmp_path / "there")
    assert there.manifest("a/b") == made
    assert there.read("a/b", "x") == b"one"
    assert there.checked_path("a/b", "y") == tmp_path / "there" / "a" / "b" / "y"
    assert there.manifest_sha256("a/b") == here.manifest_sha256("a/b")
    assert there.keys("a") == ["a/b"]
    assert there.manifest("a/c") is None
    with pytest.raises(StoreError, match="never finished"):
        there.read("a/c", "x")


def test_the_manifest_goes_up_last_and_comes_down_first(
    writer: Opener, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = writer()

    def cut(*args: Any, **kwargs: Any) -> None:
        raise StoreError("the line was cut")

    with monkeypatch.context() as broken:
        broken.setattr(store.bucket, "put", cut)
        with pytest.raises(StoreError, match="cut"):
            store.publish("a", {"x": b"one"}, inputs="i")
    assert "a/x" in keys(s3, store) and f"a/{MANIFEST}" not in keys(s3, store)
    assert store.manifest("a") is None, "the folder calls an artifact finished that the bucket does not hold"
    assert store.keys(".") == [] == store.keys("")

    store.publish("a", {"x": b"one"}, inputs="i")
    deleted: list[list[str]] = []
    real = store.bucket.delete
    monkeypatch.setattr(store.bucket, "delete", lambda names: (deleted.append(list(names)), real(names)))
    store.remove("a")
    assert deleted == [[f"a/{MANIFEST}"], ["a/x"]]
    assert not (store.root / "a").exists()
    assert keys(s3, store) == [LEASE]


def test_an_artifact_made_from_other_inputs_is_replaced_whole(writer: Opener, s3: Any) -> None:
    store = writer()
    store.publish("a", {"x": b"one"}, inputs="i")
    store.publish("a", {"x": b"one"}, inputs="i")
    store.publish("a", {"x": b"two"}, inputs="j")
    stored = s3.get_object(Bucket=server.BUCKET, Key=f"{store.bucket.prefix}/a/{MANIFEST}")["Body"].read()
    assert json.loads(stored)["inputs"] == "j"
    assert store.read("a", "x") == b"two"


@pytest.mark.parametrize("damage", [b"onf", b"on", b""])
def test_a_damaged_object_is_refused_and_a_damaged_local_file_fetched_again(
    writer: Opener, s3: Any, prefix: str, tmp_path: Path, damage: bytes
) -> None:
    store = writer()
    store.publish("a", {"x": b"one"}, inputs="i")
    (store.root / "a" / "x").write_bytes(damage)
    assert store.read("a", "x") == b"one"

    overwrite(s3, store, "a/x", damage)
    elsewhere = S3Store(f"{prefix}/run", tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"s3://.*/a/x has the checksum .* changed or damaged"):
        elsewhere.checked_path("a", "x")
    assert not (tmp_path / "elsewhere" / "a" / "x").exists()
    s3.delete_object(Bucket=server.BUCKET, Key=f"{store.bucket.prefix}/a/x")
    with pytest.raises(StoreError, match="is missing although its manifest names it"):
        elsewhere.read("a", "x")


def test_a_damaged_single_file_and_a_manifest_of_a_newer_version_are_refused(
    writer: Opener, s3: Any, prefix: str, tmp_path: Path
) -> None:
    store = writer()
    (store.root / "metrics.jsonl").write_text("{}\n")
    store.put_file("metrics.jsonl")
    elsewhere = S3Store(f"{prefix}/run", tmp_path / "elsewhere")
    assert elsewhere.fetch_file("metrics.jsonl") and not elsewhere.fetch_file("absent")
    (tmp_path / "elsewhere" / "metrics.jsonl").unlink()
    key = f"{store.bucket.prefix}/metrics.jsonl"
    written = s3.head_object(Bucket=server.BUCKET, Key=key)["Metadata"]
    s3.put_object(Bucket=server.BUCKET, Key=key, Body=b"{]\n", Metadata=written)
    with pytest.raises(StoreError, match="changed or damaged"):
        elsewhere.fetch_file("metrics.jsonl")

    store.publish("a", {}, inputs="i")
    tree = json.loads((store.root / "a" / MANIFEST).read_text())
    overwrite(s3, store, f"a/{MANIFEST}", json.dumps({**tree, "format": 99}).encode())
    with pytest.raises(StoreError, match="newer version"):
        elsewhere.manifest("a")


def test_a_file_that_was_put_back_by_hand_is_taken_as_it_is_and_said_so(
    writer: Opener, s3: Any, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = writer()
    begin(store)
    overwrite(s3, store, "run.json", b"{ }")
    elsewhere = S3Store(f"{prefix}/run", tmp_path / "elsewhere")
    assert elsewhere.fetch_file("run.json")
    assert (elsewhere.root / "run.json").read_bytes() == b"{ }"
    assert "run/run.json was put there without a checksum" in caplog.text


def answer_with(store: S3Store, status: int, code: str, when: Callable[[dict[str, Any]], bool], times: int) -> None:
    """The next so many PutObject requests of that kind are answered by us, and never reach the server."""
    left = [times]

    def answer(request: Any, **others: object) -> AWSResponse | None:
        if not left[0] or not when(request.headers):
            return None
        left[0] -= 1
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        raw = BytesIO(body)
        raw.stream = lambda *args, **kwargs: iter(lambda: raw.read(1024), b"")  # type: ignore[attr-defined]
        return AWSResponse(request.url, status, {}, raw)

    store.bucket._client.meta.events.register("before-send.s3.PutObject", answer)


def test_a_manifest_that_met_another_write_under_way_is_written_all_the_same(writer: Opener, s3: Any) -> None:
    store = writer()
    answer_with(store, 409, "ConditionalRequestConflict", lambda headers: "If-None-Match" in headers, times=2)
    store.publish("a", {"x": b"one"}, inputs="i")
    assert keys(s3, store) == ["a/manifest.json", "a/x", LEASE]
    answer_with(store, 409, "ConditionalRequestConflict", lambda headers: "If-None-Match" in headers, times=99)
    with pytest.raises(StoreError, match=r"b/manifest\.json could not be written: 5 times"):
        store.publish("b", {"x": b"one"}, inputs="i")
    assert store.manifest("b") is None


def test_a_manifest_of_somebody_else_is_not_taken_for_ours(
    writer: Opener, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = writer()
    real = store.bucket.upload

    def meanwhile(*args: Any) -> None:
        real(*args)
        overwrite(s3, store, f"a/{MANIFEST}", b"theirs")

    monkeypatch.setattr(store.bucket, "upload", meanwhile)
    with pytest.raises(RunError, match="was written by somebody else meanwhile"):
        store.publish("a", {"x": b"one"}, inputs="i")
    assert not (store.root / "a" / MANIFEST).exists()


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_server_that_overlooks_a_condition_is_refused_and_left_as_it_was(
    writer: Opener, s3: Any, prefix: str, tmp_path: Path, header: str
) -> None:
    store = S3Store(f"{prefix}/run", tmp_path / "a")

    def overlook(params: Any, **others: object) -> None:
        params["headers"].pop(header, None)

    store.bucket._client.meta.events.register("before-call.s3.PutObject", overlook)
    with pytest.raises(StoreError, match=f"does not honour {header}, so two trainers"):
        store.acquire(StopFlag())
    assert keys(s3, store) == []


def test_what_never_began_leaves_neither_lease_nor_working_copy(writer: Opener, s3: Any) -> None:
    store = writer()
    (store.root / "ledger.duckdb").write_text("of an opening that failed")
    store.release()
    assert list(store.root.iterdir()) == []
    assert keys(s3, store) == []


def test_a_harvest_has_begun_when_its_ledger_is_there(writer: Opener, s3: Any) -> None:
    store = writer()
    (store.root / "hard_examples.duckdb").write_text("published")
    store.put_file("hard_examples.duckdb")
    (store.root / "ledger.duckdb").write_text("newer than what was published")
    store.release()
    again = writer()
    assert (again.root / "ledger.duckdb").exists()
    again.clear()
    again.release()
    assert keys(s3, again) == []


@pytest.fixture
def over_a_slow_line(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[S3Store, StopFlag]]:
    with slow_line(os.environ["AWS_ENDPOINT_URL_S3"], bytes_per_second=8 << 20) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        store, stop = S3Store(f"{prefix}/run", tmp_path / "a"), StopFlag()
        store.acquire(stop)
        begin(store)
        yield store, stop
        store.release()


@pytest.mark.parametrize("mib", [160, 50])
def test_a_request_to_stop_ends_an_upload_in_parts_and_one_in_a_piece(
    over_a_slow_line: tuple[S3Store, StopFlag], s3: Any, mib: int
) -> None:
    store, stop = over_a_slow_line
    timer = threading.Timer(1.0, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        store.publish("a", {"x": lambda path: path.write_bytes(bytes(mib << 20))}, inputs="i")  # type: ignore[dict-item]
    assert 0.9 < time.monotonic() - began < 5
    timer.join()
    assert store.manifest("a") is None
    assert keys(s3, store) == [LEASE, "run.json"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=server.BUCKET, Prefix=store.bucket.prefix)


def test_after_a_request_to_stop_a_single_file_may_still_leave_if_it_is_quick(
    over_a_slow_line: tuple[S3Store, StopFlag], s3: Any
) -> None:
    store, stop = over_a_slow_line
    stop.set()
    (store.root / "metrics.jsonl").write_bytes(bytes(8 << 20))
    store.put_file("metrics.jsonl")
    (store.root / "hard_examples.duckdb").write_bytes(bytes(80 << 20))
    began = time.monotonic()
    with pytest.raises(Interrupted):
        store.put_file("hard_examples.duckdb")
    assert time.monotonic() - began < 4.5
    assert keys(s3, store) == [LEASE, "metrics.jsonl", "run.json"]


def test_what_a_crash_left_half_done_is_swept_away(writer: Opener, s3: Any) -> None:
    store = writer()
    store.publish("checkpoints/00002", {"x": b"one"}, inputs="i")
    overwrite(s3, store, "checkpoints/00001/x", b"half")
    assert store.keys("checkpoints") == ["checkpoints/00002"]
    assert store.folders("checkpoints") == ["checkpoints/00001", "checkpoints/00002"]
    store.sweep("checkpoints")
    assert store.folders("checkpoints") == ["checkpoints/00002"]


def test_a_second_writer_is_refused_and_told_by_whom_and_for_how_long(writer: Opener, tmp_path: Path) -> None:
    begin(writer("a"))
    with pytest.raises(RunError, match=r"written by another process: .*, process \d+, .* expires in (59|60) s"):
        writer("b")
    assert list((tmp_path / "b").iterdir() if (tmp_path / "b").exists() else ()) == []


def test_an_expired_lease_is_taken_and_whoever_lost_it_writes_nothing_more(writer: Opener, s3: Any) -> None:
    first = writer("a", ttl=3.0)
    begin(first)
    first._lease._ended.set()  # as a machine that fell asleep: nobody renews
    with pytest.raises(RunError, match="being written by another process"):
        writer("b", ttl=3.0)
    time.sleep(4.5)
    second = writer("b", ttl=3.0)
    second.publish("a", {"x": b"second"}, inputs="i")

    with pytest.raises(RunError, match="was taken over by"):
        first.publish("a", {"x": b"first"}, inputs="i")
    with pytest.raises(RunError, match="was taken over by"):
        first.remove("a")
    assert s3.get_object(Bucket=server.BUCKET, Key=f"{second.bucket.prefix}/a/x")["Body"].read() == b"second"


def test_a_lease_is_renewed_while_it_is_held_and_its_loss_is_noticed_without_writing(writer: Opener, s3: Any) -> None:
    stop = StopFlag()
    store = writer("a", stop=stop, ttl=4.0)
    begin(store)
    time.sleep(6)
    with pytest.raises(RunError, match="being written by another process"):
        writer("b")
    stored = store.bucket.get(LEASE)
    assert stored is not None
    overwrite(s3, store, LEASE, stored.content.replace(b'"session": "', b'"session": "x'))
    deadline = time.monotonic() + 10
    while not stop.is_set and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(RunError, match="was taken over by"):
        stop.check()


def test_a_working_copy_that_is_not_the_newest_is_started_again(writer: Opener) -> None:
    first = writer("a")
    begin(first)
    first.publish("a", {"x": b"one"}, inputs="i")
    (first.root / "ledger.duckdb").write_text("of the first")
    first.release()
    again = writer("a")
    assert (again.root / "ledger.duckdb").exists(), "the newest working copy was thrown away"
    again.release()

    second = writer("b")
    second.remove("a")
    second.release()
    third = writer("a")
    assert third.manifest("a") is None, "an artifact that was removed elsewhere is still believed to be there"
    assert not (third.root / "ledger.duckdb").exists()


def test_a_folder_that_holds_something_else_is_not_used_as_a_working_copy(writer: Opener, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds something else \(thesis.txt\)"):
        writer("a")
    begin(writer("b"))
    with pytest.raises(RunError, match="is the working copy of the run in s3://"):
        open_store(str(tmp_path / "b"), Path()).acquire(StopFlag())


def test_clearing_removes_the_run_alone_and_one_cut_short_is_finished_later(
    writer: Opener, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = writer("a")
    begin(store)
    store.publish("checkpoints/00001", {"x": b"one"}, inputs="i")
    overwrite(s3, store, "thesis.txt", b"mine")

    def cut(names: list[str]) -> None:
        if names != ["run.json"]:
            raise StoreError("the line was cut")
        real(names)

    real = store.bucket.delete
    with monkeypatch.context() as broken:
        broken.setattr(store.bucket, "delete", cut)
        with pytest.raises(StoreError, match="cut"):
            store.clear()
    store.release()
    store = writer("b")
    assert keys(s3, store) == [LEASE, "thesis.txt"]
    overwrite(s3, store, "checkpoints/00001/x", b"half")
    store.release()
    with pytest.raises(StoreError, match=r"no run\.json, so it is no whole run"):
        writer("c")


def only(key: str) -> dict[str, str | None]:
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": server.secret_of(key)}


REFUSALS = [
    ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, "run", "the secret key does not belong to the access key"),
    ({"AWS_ACCESS_KEY_ID": "nobody"}, "run", "does not know the access key"),
    ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "run", "no usable AWS credentials"),
    ({"AWS_SECRET_ACCESS_KEY": None}, "run", "no usable AWS credentials"),
    (only("no-put"), "run", r"no permission for s3:PutObject on s3://.*/run/permission-check"),
    (only("no-get"), "run", r"no permission for s3:GetObject on s3://.*/run/permission-check"),
    (only("no-list"), "run", r"no permission for s3:ListBucket on s3://.*/run"),
    (only("no-delete"), "run", r"s3://.*/run/permission-check.* could not be deleted .*allow s3:DeleteObject"),
    ({}, "s3://absent-bucket/run", "there is no bucket 'absent-bucket' at the S3 server http"),
    ({}, "s3://Not_A_Bucket!/run", "bucket"),
    ({}, "s3:///run", "names no bucket"),
    ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "run", "http://127.0.0.1:1 did not answer"),
    ({"AWS_ENDPOINT_URL_S3": "nonsense"}, "run", "AWS_ENDPOINT_URL_S3"),
]


@pytest.mark.parametrize(("settings", "uri", "message"), REFUSALS)
def test_what_s3_refuses_is_said_with_its_reason_and_soon(
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str | None],
    uri: str,
    message: str,
) -> None:
    for name, value in settings.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    began = time.monotonic()
    with pytest.raises(StoreError, match=message) as refusal:
        open_store(uri if uri.startswith("s3:") else f"{prefix}/{uri}", tmp_path / "a").acquire(StopFlag())
    assert time.monotonic() - began < 15
    for secret in (server.SECRET, *map(server.secret_of, server.LACKING), "wrong-secret"):
        assert secret not in str(refusal.value)
    assert not (tmp_path / "a").exists()
