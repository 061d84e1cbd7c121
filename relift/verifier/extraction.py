"""The final answer inside a completion.

Only the text after the reasoning counts: after the one ``</think>``, and nothing at all where a ``<think>`` never
closes; or else the whole text, whatever tags it holds. The last final answer decides, or the first one where that is
asked for; when it is damaged, no other is looked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Literal

from relift.records import Status
from relift.thinking import CLOSE, OPEN
from relift.verifier.boxes import first_boxes_end, last_boxes
from relift.verifier.normalise import normalise
from relift.verifier.rational import exact_value
from relift.verifier.run_on import without_run_on
from relift.verifier.unmarked import announced_end, headed_line, unmarked

AnswerForm = Literal["boxed", "hashes", "equals", "either", "flexible"]
"""Where the final answer stands: the last ``\\boxed{}``; after the last ``####``; after the last ``=``; in the last box
or, where there is none, after the last ``####``; there or, where nothing is marked, where the text seems to say it."""
FinalAnswer = Literal["last", "first"]
"""Which of several final answers counts."""
ThinkingRule = Literal["must-close", "ignored"]
"""Whether only what follows the reasoning counts, or the whole text."""

_MARKER = "####"
_MARKED_LINE = re.compile(r"####[ \t]*([^\s#][^\n]*)")
_MAX_MARKERS = 32
_SPECIAL = re.compile(r"(?:<\|[^|<>\s]{1,40}\|>|</s>){1,4}$")
_BOX = "\\boxed"
_BRACELESS = re.compile(r"\\boxed\s*([\w.,-]+)")


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
    text: str,
    form: AnswerForm,
    *,
    thinking: ThinkingRule = "must-close",
    think_opened: bool = False,
    final_answer: FinalAnswer = "last",
) -> Extraction:
    """The final answer of ``text`` in that form.

    ``think_opened`` says that the prompt already opened the reasoning, so that an answer without ``</think>`` before it
    is still part of it, unless ``thinking`` is ignored. ``equals`` takes the whole text where there is no ``=``, since
    a chain of one rewrite has none. Different boxes side by side are one answer that lists them all: wrong for a gold
    that is one value. What follows the heading of another question, behind a final answer, is none of this one's, but
    for ``equals``, which knows no headings.
    """
    if not isinstance(text, str):
        return Extraction(status=Status.ERROR, reason=f"a completion that is no text but {type(text).__name__}")
    section = text if thinking == "ignored" else _after_reasoning(text, think_opened)
    if isinstance(section, Extraction):
        return section
    if form == "equals":
        return _equals(section)
    section = without_run_on(section, lambda part: _first_end(part, form))
    if final_answer == "first":
        section = section[: _first_end(section, form)]
    if form == "boxed":
        return _boxed(section)
    return _flexible(section) if form == "flexible" else _marked(section, needs_marker=form == "hashes")


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


def _first_end(section: str, form: AnswerForm) -> int | None:
    """Where the first final answer ends; None where none does."""
    ends = []
    if form != "hashes" and (box := first_boxes_end(section)) is not None:
        ends.append(box)
    if form != "boxed":
        lines = islice(_MARKED_LINE.finditer(section), _MAX_MARKERS)
        ends += [line.end() for line in lines if form == "hashes" or not _is_heading(line[1])][:1]
    if form == "flexible" and not ends and (said := announced_end(section)) is not None:
        ends.append(said)
    return min(ends, default=None)


def _boxed(section: str) -> Extraction:
    found = last_boxes(section)
    if found is None:
        return _no_answer("no \\boxed{}")
    if found.fault:
        return _malformed(found.fault)
    answers = found.answers
    if len(answers) > 1:
        answers = tuple({_spelling(one): one for one in answers}.values())
    return _found(r" \text{ and } ".join(answers), empty="the last \\boxed{} is empty")


def _marked(section: str, *, needs_marker: bool) -> Extraction:
    """What follows the last ``####`` on its line; a box in the same section must agree with it."""
    at = section.rfind(_MARKER)
    line, newline, _ = section[at + len(_MARKER) :].partition("\n") if at >= 0 else ("", "", "")
    boxed = _boxed(section)
    if boxed.status is Status.NO_ANSWER:
        if at < 0:
            return _no_answer("no ####" if needs_marker else "neither \\boxed{} nor ####")
        return _found(line, empty="nothing after the last ####", is_closed=bool(newline))
    if at < 0 or (not needs_marker and _is_heading(line)):
        return _no_answer("no ####") if needs_marker else boxed
    if boxed.answer is None or not _agree(boxed.answer, line):
        return _malformed("the last \\boxed{} and the last #### differ")
    return _found(line, empty="nothing after the last ####", is_closed=bool(newline))


def _is_heading(line: str) -> bool:
    """``#### Step 2`` of a markdown text, where a marker need not be one."""
    return exact_value(normalise(line)) is None


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


def _flexible(section: str) -> Extraction:
    """What is marked; a line "Answer: ..." after that; or what the text seems to say where nothing is marked."""
    box, marker = section.rfind(_BOX), section.rfind(_MARKER)
    marked = _marked(section, needs_marker=False)
    if marked.status is Status.MALFORMED and (bare := _BRACELESS.match(section, box)):
        return _found(bare[1], empty="", is_closed=False)
    is_marked = marked.status is not Status.NO_ANSWER and (box >= 0 or not _is_heading(marked.answer or ""))
    said = headed_line(section[max(box, marker) :]) if is_marked else unmarked(section)
    return marked if said is None else _found(said, empty="an empty answer", is_closed=False)


def _found(answer: str, *, empty: str, is_closed: bool = True) -> Extraction:
    answer = _SPECIAL.sub("", answer.strip()).strip()
    return Extraction(answer=answer, is_closed=is_closed) if answer else _malformed(empty)


def _no_answer(reason: str) -> Extraction:
    return Extraction(status=Status.NO_ANSWER, reason=reason)


def _malformed(reason: str) -> Extraction:
    return Extraction(status=Status.MALFORMED, reason=reason)
