"""What a comparison of two forms comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_OPEN_PAIRS = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """``is_equal`` is None where a computer algebra system has to tell: about every pair of ``rest``."""

    is_equal: bool | None
    refused: str = ""
    """Why the answer cannot be the gold whatever its value is."""
    rest: tuple[tuple[str, str], ...] = ()
    """Expressions of gold and answer that are all equal if and only if the two are."""


EQUAL, DIFFERENT = Finding(True), Finding(False)


def refused(reason: str) -> Finding:
    return Finding(False, reason)


NOT_DECIDED = refused("not decided: nothing here compares such statements")


def opened(gold: str, answer: str) -> Finding:
    """Left to whoever can compare the two expressions."""
    return Finding(None, rest=((gold, answer),)) if gold and answer else NOT_DECIDED


def found(is_equal: bool | None) -> Finding:
    """Where None is not to be decided."""
    return EQUAL if is_equal else (DIFFERENT if is_equal is False else NOT_DECIDED)


def all_of(findings: Sequence[Finding]) -> Finding:
    """The first that is not equal, else what all of them come to."""
    for finding in findings:
        if finding.is_equal is False:
            return finding
    rest = tuple(dict.fromkeys(pair for finding in findings for pair in finding.rest))
    if len(rest) > MAX_OPEN_PAIRS:
        return NOT_DECIDED
    return Finding(None, rest=rest) if rest else EQUAL


def any_of(findings: Sequence[Finding]) -> Finding:
    """Equal where one is; otherwise the only one that is open, or the first."""
    if any(finding.is_equal for finding in findings):
        return EQUAL
    still_open = [finding for finding in findings if finding.is_equal is None]
    return still_open[0] if still_open else findings[0]
