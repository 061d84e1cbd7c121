"""The final answer inside a completion.

Only the text after the reasoning counts: after the one ``</think>``, and nothing at all where a ``<think>`` never
closes; or else the whole text, whatever tags it holds. The last final answer decides; when it is damaged, no earlier
one is looked for. Every search is one pass of the C library over the text, and what is walked in Python (braces, boxes
side by side) has a limit of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from relift.records import Status
from relift.thinking import CLOSE, OPEN
from relift.verifier.normalise import normalise
from relift.verifier.rational import exact_value

AnswerForm = Literal["boxed", "hashes", "equals", "either"]
"""Where the final answer stands: the last ``\\boxed{}``; after the last ``####``; after the last ``=``; in the last box
or, where there is none, after the last ``####``."""

ThinkingRule = Literal["must-close", "ignored"]
"""Whether only what follows the reasoning counts, or the whole text."""

WINDOW = 4_000
"""Boxes this far before the last one are not looked at."""
MAX_BRACES = 4_000
"""Of one box; a box with more is as good as unterminated."""

_BOX = "\\boxed"
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OPEN = re.compile(r"\s*\{")
_JOINT = re.compile(r"(?:[\s,;$&{}]|\\(?:[,;! ()\[\]\\]|q?quad|text|mbox|textbf)|\b(?:and|or)\b)*")
_MAX_JOINT = 100
_MAX_NEIGHBOURS = 32
_MARKER = "####"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The answer that was found, or the status that says why there is none; e.g. answer ``"\\frac{1}{2}"``."""

    answer: str | None = None
    status: Status | None = None
    """no_answer, malformed or error; None where there is an answer."""
    reason: str = ""
    is_closed: bool = True
    """False when more text could have changed the answer, so a completion cut here has not given one yet."""


def extract(
    text: str, form: AnswerForm, *, thinking: ThinkingRule = "must-close", think_opened: bool = False
) -> Extraction:
    """The final answer of ``text`` in that form.

    ``think_opened`` says that the prompt already opened the reasoning, so that an answer without ``</think>`` before it
    is still part of it, unless ``thinking`` is ignored. ``equals`` takes the whole text where there is no ``=``, since
    a chain of one rewrite has none. Different boxes with nothing but blanks, commas, "and", "or" between them are one
    answer that lists them all: wrong for a gold that is one value.
    """
    if not isinstance(text, str):
        return Extraction(status=Status.ERROR, reason=f"a completion that is no text but {type(text).__name__}")
    section = text if thinking == "ignored" else _after_reasoning(text, think_opened)
    if isinstance(section, Extraction):
        return section
    if form == "boxed":
        return _boxed(section)
    return _equals(section) if form == "equals" else _marked(section, needs_marker=form == "hashes")


def _after_reasoning(text: str, think_opened: bool) -> str | Extraction:
    """What follows the one ``</think>``, the whole text where nothing was opened, or why nothing counts."""
    closing = text.rfind(CLOSE)
    if closing >= 0:
        if text.find(CLOSE, 0, closing) >= 0:
            return _malformed("the reasoning ends twice")
        text = text[closing + len(CLOSE) :]
    if OPEN in text or (think_opened and closing < 0):
        return _no_answer("the reasoning never ends")
    return text


def _boxed(section: str) -> Extraction:
    start = _last_box(section, len(section))
    if start < 0:
        return _no_answer("no \\boxed{}")
    span = _content(section, start)
    if span is None:
        return _malformed("the last \\boxed{} does not end")
    answer = section[span[0] : span[1]].strip()
    before = _last_box(section, start)
    if before < 0 or start - before > WINDOW:
        return _found(answer, empty="the last \\boxed{} is empty")
    return _with_neighbours(section, start, before, answer)


def _with_neighbours(section: str, start: int, before: int, answer: str) -> Extraction:
    """The last answer, together with other boxes around it or right before it."""
    answers, oldest = [answer], max(0, start - WINDOW)
    for _ in range(_MAX_NEIGHBOURS):
        if before < oldest:
            break
        span = _content(section, before)
        if span is None:
            break  # an earlier box that never ends is no box
        if span[1] > start:
            if section[span[0] : start].strip():
                return _malformed("a box inside the last box")
            answer_end = _content(section, start)
            if answer_end is None or section[answer_end[1] + 1 : span[1]].strip():
                return _malformed("a box inside the last box")
        else:
            between = section[span[1] + 1 : start]
            if len(between) > _MAX_JOINT or not _JOINT.fullmatch(between):
                break
            answers.append(section[span[0] : span[1]].strip())
        start, before = before, _last_box(section, before)
    if not all(answers):
        return _malformed("an empty \\boxed{} among the last ones")
    different = {_spelling(one): one for one in reversed(answers)}
    if len(different) > 1:
        return _found(r" \text{ and } ".join(different.values()), empty="")
    return _found(answer, empty="the last \\boxed{} is empty")


def _last_box(section: str, end: int) -> int:
    """Where the last ``\\boxed`` before ``end`` starts; ``\\boxedtext`` is another command. -1 where there is none."""
    start = section.rfind(_BOX, 0, end)
    while start >= 0 and section[start + len(_BOX) : start + len(_BOX) + 1].isalpha():
        start = section.rfind(_BOX, 0, start)
    return start


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


def _marked(section: str, *, needs_marker: bool) -> Extraction:
    """What follows the last ``####`` on its line; a box in the same section must agree with it."""
    at = section.rfind(_MARKER)
    line, newline, _ = section[at + len(_MARKER) :].partition("\n") if at >= 0 else ("", "", "")
    boxed = _boxed(section)
    if boxed.status is Status.NO_ANSWER:
        if at < 0:
            return _no_answer("no ####" if needs_marker else "neither \\boxed{} nor ####")
        return _found(line, empty="nothing after the last ####", is_closed=bool(newline))
    is_heading = not needs_marker and exact_value(normalise(line)) is None  # of a markdown text: `#### Step 2`
    if at < 0 or is_heading:
        return _no_answer("no ####") if needs_marker else boxed
    if boxed.answer is None or not _agree(boxed.answer, line):
        return _malformed("the last \\boxed{} and the last #### differ")
    return _found(line, empty="nothing after the last ####", is_closed=bool(newline))


def _agree(one: str, other: str) -> bool:
    return _spelling(one) == _spelling(other)


def _spelling(answer: str) -> Fraction | str:
    """The exact number where it is one, else the answer in its one spelling."""
    normal = normalise(answer)
    number = exact_value(normal)
    return normal if number is None else number.value


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
