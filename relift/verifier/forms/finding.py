"""What a comparison of two forms comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``is_equal`` is None where a computer algebra system has to tell."""

    is_equal: bool | None
    refused: str = ""
    """Why the answer cannot be the gold whatever its value is."""


EQUAL, DIFFERENT, OPEN = Finding(True), Finding(False), Finding(None)


def refused(reason: str) -> Finding:
    return Finding(False, reason)


def found(is_equal: bool | None) -> Finding:
    return EQUAL if is_equal else (DIFFERENT if is_equal is False else OPEN)


def all_of(findings: Sequence[Finding]) -> Finding:
    """The first that is not equal, else what all of them come to."""
    for finding in findings:
        if finding.is_equal is False:
            return finding
    return EQUAL if all(finding.is_equal for finding in findings) else OPEN
