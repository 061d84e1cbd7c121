"""Where the results of a study stand in a folder of studies, such as docs/studies."""

from __future__ import annotations

from pathlib import Path


def run_file(folder: Path, study: str, method: str, seed: int) -> Path:
    return folder / study / f"{method}-{seed}.json"


def study_file(folder: Path, study: str) -> Path:
    return folder / f"{study}.json"


def page_file(folder: Path, study: str) -> Path:
    return folder / study / "index.html"
