"""Matching brackets of LaTeX text, each walk one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator

_STEP = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
OPENING = {
    "{": "}",
    "(": ")",
    "[": "]",
    r"\{": r"\}",
    r"\lfloor": r"\rfloor",
    r"\lceil": r"\rceil",
    r"\langle": r"\rangle",
}
CLOSING = set(OPENING.values())


def steps(text: str, start: int = 0) -> Iterator[tuple[int, str, int]]:
    """Position, token and bracket depth after it; a token is a command, an escaped character or one character.

    Kinds of brackets are not told apart, since ``[0,1)`` opens with one and closes with another.
    """
    depth = 0
    for found in _STEP.finditer(text, start):
        token = found[0]
        if token in OPENING or token == r"\begin":
            depth += 1
        elif token in CLOSING or token == r"\end":
            depth -= 1
        yield found.start(), token, depth


def closing(text: str, start: int) -> int:
    """Where the bracket that opens at ``start`` closes; -1 where it does not."""
    for position, _, depth in steps(text, start):
        if depth <= 0:
            return position
    return -1


def split_top(text: str, separators: str) -> list[str]:
    """The pieces between separators (single characters) that stand outside all brackets."""
    pieces, begin = [], 0
    for position, token, depth in steps(text):
        if depth == 0 and token in separators:
            pieces.append(text[begin:position])
            begin = position + 1
    pieces.append(text[begin:])
    return pieces


def inside(text: str, opening: str, closing_one: str) -> str | None:
    """What one pair of these brackets around the whole text holds; None where there is no such pair."""
    if not (text.startswith(opening) and text.endswith(closing_one)) or len(text) < len(opening) + len(closing_one):
        return None
    end = len(text) - len(closing_one)
    return text[len(opening) : end] if closing(text, 0) == end else None


def in_bars(text: str) -> str | None:
    """What stands between two bars around the whole text; None where there are others in it."""
    return text[1:-1] if text.count("|") == 2 and text[0] == text[-1] == "|" else None
