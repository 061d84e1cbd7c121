"""The ``\\boxed{}`` of a text: where they stand, and which of them are one answer.

Every search is one pass of the C library over the text; what is walked in Python (braces, boxes side by side) has a
limit of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WINDOW = 4_000
"""Boxes this far before the last one are not looked at."""
MAX_BRACES = 4_000
"""Of one box; a box with more is as good as unterminated."""

_BOX = "\\boxed"
_FRAMED = "\\fbox{"
_STRAY = re.compile(r"\\boxed(?:\s*\{\s*(?:\.{3}|…|\\[lc]?dots)\s*\}|\s+[a-z]{2,}\b|[`'\"*)\].,;:]{1,3}(?=\s|$))")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OPEN = re.compile(r"\s*\{")
_JOINT = re.compile(
    r"(?:[\s,;$&{}]|\\(?:[,;! ()\[\]\\]|q?quad|text|mbox|textbf)|\b(?:and|or)\b|(?:\b(?:for|in) )?\bpart \([a-z]\):?)*"
)
_NAME = re.compile(r"([A-Za-z](?:_\{?\w{1,3}\}?)?(?:\([A-Za-z]\))?)\s*=[\s$]*$")
_MAX_NAME = 20
_MAX_JOINT = 100
_MAX_NEIGHBOURS = 32


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a final answer, e.g. answers ``("3",)`` or, side by side, ``("x=3", "y=4")``."""

    answers: tuple[str, ...] = ()
    """In the order of the text."""
    fault: str = ""
    """Why they hold none."""


def last_boxes(section: str) -> Boxes | None:
    """The last box with those around it and right before it; None where there is none.

    ``\\fbox{}`` is a box where there is no other. ``\\boxed`` as a word of a sentence and ``\\boxed{...}`` are none.
    Two boxes are right before each other with nothing between but blanks, commas, "and", "or" and the name of a part,
    or where each has a name of its own: ``x = \\boxed{1}, y = \\boxed{2}``.
    """
    if _FRAMED in section and _BOX not in section:
        section = section.replace(_FRAMED, _BOX + "{")
    start = _last_box(section, len(section))
    if start < 0:
        return None
    span = _content(section, start)
    if span is None:
        return Boxes(fault="the last \\boxed{} does not end")
    answer = section[span[0] : span[1]].strip()
    before = _last_box(section, start)
    if before < 0 or start - before > WINDOW:
        return Boxes((answer,)) if answer else Boxes(fault="the last \\boxed{} is empty")
    return _with_neighbours(section, start, before, answer)


def first_boxes_end(section: str) -> int | None:
    """Where the first box ends, with those right after it; None where there is none that ends."""
    end: int | None = None
    before, start = -1, _next_box(section, 0)
    for _ in range(_MAX_NEIGHBOURS):
        if start < 0 or (end is not None and not _are_side_by_side(section, before, end, start)):
            break
        span = _content(section, start)
        if span is None:
            break
        end, before = span[1] + 1, start
        start = _next_box(section, end)
    return end


def _with_neighbours(section: str, start: int, before: int, answer: str) -> Boxes:
    answers, oldest = {start: answer}, max(0, start - WINDOW)
    for _ in range(_MAX_NEIGHBOURS):
        if before < oldest:
            break
        span = _content(section, before)
        if span is None:
            break  # an earlier box that never ends is no box
        if span[1] > start:
            if section[span[0] : start].strip():
                return Boxes(fault="a box inside the last box")
            answer_end = _content(section, start)
            if answer_end is None or section[answer_end[1] + 1 : span[1]].strip():
                return Boxes(fault="a box inside the last box")
        else:
            if not _are_side_by_side(section, before, span[1] + 1, start):
                break
            answers[before] = section[span[0] : span[1]].strip()
        start, before = before, _last_box(section, before)
    if not all(answers.values()):
        return Boxes(fault="an empty \\boxed{} among the last ones")
    return Boxes(_named(section, dict(reversed(answers.items()))))


def _named(section: str, answers: dict[int, str]) -> tuple[str, ...]:
    """The answers by where their boxes start, with the names before these where each has one of its own."""
    names = [_name_before(section, start) for start in answers]
    if len(answers) == 1 or not all(names) or len(set(names)) < len(names):
        return tuple(answers.values())
    return tuple(
        answer if answer.replace(" ", "").startswith(f"{name}=") else f"{name}={answer}"
        for name, answer in zip(names, answers.values(), strict=True)
    )


def _are_side_by_side(section: str, before: int, end: int, start: int) -> bool:
    """Whether the box that starts at ``start`` follows right on the one from ``before`` to ``end``."""
    between = section[end:start]
    if len(between) > _MAX_JOINT:
        return False
    names = _name_before(section, before), _name_before(section, start)
    if all(names) and names[0] != names[1]:
        between = _NAME.sub("", between)
    return _JOINT.fullmatch(between) is not None


def _name_before(section: str, start: int) -> str:
    found = _NAME.search(section, max(0, start - _MAX_NAME), start)
    return found[1] if found else ""


def _last_box(section: str, end: int) -> int:
    """Where the last box before ``end`` starts; ``\\boxedtext`` is another command. -1 where there is none."""
    start = section.rfind(_BOX, 0, end)
    while start >= 0 and not _is_box(section, start):
        start = section.rfind(_BOX, 0, start)
    return start


def _next_box(section: str, begin: int) -> int:
    start = section.find(_BOX, begin)
    while start >= 0 and not _is_box(section, start):
        start = section.find(_BOX, start + 1)
    return start


def _is_box(section: str, start: int) -> bool:
    behind = start + len(_BOX)
    return not section[behind : behind + 1].isalpha() and _STRAY.match(section, start) is None


def _content(section: str, start: int) -> tuple[int, int] | None:
    """Begin and end of what the box at ``start`` holds, braces matched in one pass; None where it never ends."""
    opened = _OPEN.match(section, start + len(_BOX))
    if opened is None:
        return None  # `\boxed 3` has no brace
    begin = opened.end()
    first = section.find("}", begin)
    if first >= 0 and section.find("{", begin, first) < 0 and section.find("\\", begin, first) < 0:
        return begin, first
    depth = 1
    for count, brace in enumerate(_BRACE.finditer(section, begin)):
        if count > MAX_BRACES:
            return None
        depth += (brace[0] == "{") - (brace[0] == "}")
        if depth == 0:
            return begin, brace.start()
    return None
