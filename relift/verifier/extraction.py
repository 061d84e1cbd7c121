"""The final answer inside a completion.

Only the text after the reasoning counts: after the last ``</think>``, and nothing at all where a ``<think>`` never
closes. The last final answer decides; when it is damaged, no earlier one is looked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from relift.records import Status

AnswerForm = Literal["boxed", "hashes", "equals"]
"""Where the final answer stands: the last ``\\boxed{}``, after the last ``####``, after the last ``=``."""

_BOX = re.compile(r"\\boxed(?![a-zA-Z])")
# One pass over the braces: a box that opens, an escaped character (so `\{` opens nothing), a bare brace.
_BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
_JOINT = re.compile(r"(?:[\s,;$&{}]|\\(?:[,;! ()\[\]]|q?quad|text)|\b(?:and|or)\b)*")
_WHOLE_BOX = re.compile(r"\s*\\boxed\s*\{(.*)\}\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The answer that was found, or the status that says why there is none; e.g. answer ``"\\frac{1}{2}"``."""

    answer: str | None = None
    status: Status | None = None
    """no_answer or malformed; None where there is an answer."""
    reason: str = ""
    is_closed: bool = True
    """False when more text could have changed the answer, so a completion cut here has not given one yet."""


def extract(text: str, form: AnswerForm, *, think_opened: bool = False) -> Extraction:
    """The final answer of ``text`` in that form.

    ``think_opened`` says that the prompt already opened the reasoning, so that an answer without ``</think>`` before it
    is still part of it. ``equals`` takes the whole text where there is no ``=``, since a chain of one rewrite has none.
    """
    _, closing, section = text.rpartition("</think>")
    if "<think>" in section or (think_opened and not closing):
        return _no_answer("the reasoning never ends")
    if form == "boxed":
        return _boxed(section)
    if form == "hashes":
        return _hashes(section)
    return _equals(section)


def _boxed(section: str) -> Extraction:
    first = _BOX.search(section)
    if first is None:
        return _no_answer("no \\boxed{}")
    boxes, is_open = _closed_boxes(section, first.start())
    if is_open or not boxes:
        return _malformed("the last \\boxed{} does not end")
    start, end = boxes[-1]
    answer = section[start:end]
    if _disagrees_with_joined(section, boxes, answer):
        return _malformed("two different boxes side by side")
    while (inner := _WHOLE_BOX.fullmatch(answer)) and "\\boxed" not in inner[1]:
        answer = inner[1]
    if "\\boxed" in answer:
        return _malformed("a box inside the last box")
    return _found(answer, empty="the last \\boxed{} is empty")


def _closed_boxes(section: str, begin: int) -> tuple[list[tuple[int, int]], bool]:
    """Spans of what the outermost boxes hold, in order, and whether a box after the last of them stays open."""
    boxes: list[tuple[int, int]] = []
    stack: list[int | None] = []  # where the content of an open box starts; None for any other brace
    last_opened = begin
    for token in _BRACES.finditer(section, begin):
        word = token[0]
        if word.startswith("\\boxed"):
            last_opened = token.start()
            stack.append(token.end())
        elif word == "{":
            stack.append(None)
        elif word == "}" and stack:
            start = stack.pop()
            if start is not None:
                while boxes and boxes[-1][0] > start:
                    boxes.pop()  # it lies inside this one
                boxes.append((start, token.start()))
    bare = [box.start() for box in _BOX.finditer(section, last_opened)][-1]  # `\boxed 3` has no brace
    return boxes, not boxes or max(bare, last_opened) > boxes[-1][1]


def _disagrees_with_joined(section: str, boxes: list[tuple[int, int]], answer: str) -> bool:
    """Whether a box that only blanks, commas, "and" or "or" part from the last one holds something else."""
    for (start, end), (following, _) in zip(boxes[-2::-1], boxes[:0:-1], strict=True):
        between = section[end + 1 : section.rindex("\\boxed", end, following)]
        if not _JOINT.fullmatch(between):
            return False
        if section[start:end].split() != answer.split():
            return True
    return False


def _hashes(section: str) -> Extraction:
    _, marker, rest = section.rpartition("####")
    if not marker:
        return _no_answer("no ####")
    line, newline, _ = rest.partition("\n")
    return _found(line, empty="nothing after the last ####", is_closed=bool(newline))


def _equals(section: str) -> Extraction:
    _, sign, rest = section.rpartition("=")
    if not sign and not rest.strip():
        return _no_answer("an empty completion")
    return _found(rest, empty="nothing after the last =", is_closed=False)


def _found(answer: str, *, empty: str, is_closed: bool = True) -> Extraction:
    answer = answer.strip()
    return Extraction(answer=answer, is_closed=is_closed) if answer else _malformed(empty)


def _no_answer(reason: str) -> Extraction:
    return Extraction(status=Status.NO_ANSWER, reason=reason)


def _malformed(reason: str) -> Extraction:
    return Extraction(status=Status.MALFORMED, reason=reason)
