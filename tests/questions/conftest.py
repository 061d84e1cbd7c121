"""Real small files to load, and a verifier for their golds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from relift.verifier import Verifier


@pytest.fixture(scope="session")
def verifier():
    with Verifier("boxed") as verifier:
        yield verifier


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    """Writes rows as a JSONL file and hands back its path."""

    def write(*rows: dict | str, name: str = "train.jsonl") -> str:
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return write
