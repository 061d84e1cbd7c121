"""Settings that put the scripted server in the place of the dataset."""

from __future__ import annotations

from tests.teacher.faulty_server import MODEL


def api_settings(url: str, *more: str) -> list[str]:
    return [
        'teacher.sources=["api"]',
        f"teacher.api.model={MODEL}",
        f"teacher.api.base_url={url}",
        'teacher.api.instruction=""',
        "teacher.api.candidates=1",
        "teacher.api.rounds=1",
        "teacher.api.timeout_seconds=1.0",
        "teacher.api.backoff_seconds=0.01",
        *more,
    ]
