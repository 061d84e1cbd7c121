"""One `relift serve` for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect.serving import Served, free_port, serve


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.prefect)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests of a file, with the deployments of the repository's prefect.yaml."""
    running = serve(tmp_path_factory.mktemp("project"), free_port())
    try:
        yield running
    finally:
        running.stop()
        assert not running.command.living()
