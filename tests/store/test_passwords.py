"""A password inside AWS_ENDPOINT_URL_S3: in no message, whatever is wrong with the URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from relift.errors import StoreError
from relift.store.interface import open_store


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("AWS_ENDPOINT_URL_S3", "http://me:secret@127.0.0.1:9"),
        ("AWS_ENDPOINT_URL", "http://me:sec/secret@127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_S3", "me:secret@127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9?token=secret"),
        ("AWS_ENDPOINT_URL_S3", "http://me:secret@127.0.0.1:99999"),
    ],
)
def test_a_password_in_the_endpoint_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, url: str
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL_S3") as refused:
        open_store("s3://bucket/prefix", tmp_path).read_file("run.json")
    assert "secret" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value), "the host is still told"
