"""What a solution must pass before the student may train on it."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from relift.errors import ReliftError
from relift.records import (
    Demonstration,
    FinishReason,
    Question,
    Status,
    TeacherAnswer,
    Verdict,
    Written,
    demonstration_id,
)
from relift.verifier import Verifier

log = logging.getLogger(__name__)
REPETITION_WINDOW = 1_000
"""Characters that are looked at together; a shorter text is never called repetitive."""
REPETITION_FACTOR = 10
"""Written reasoning compresses about threefold, a loop of a sentence forty times."""


def admit(
    question: Question,
    text: str,
    *,
    source: str,
    verifier: Verifier,
    write: Callable[[str], Written],
    max_tokens: int,
    answer: TeacherAnswer | None = None,
) -> Demonstration:
    """The solution as a demonstration, with the reason for its refusal where one check fails; ``answer`` is what it
    was read from, where a teacher was asked for it.

    Refused are, in this order: an empty text, one that its teacher could not end, one over ``max_tokens`` (never cut:
    its end is the answer), one that loops, one that the student cannot write, and one whose final answer the verifier
    does not call correct. ``write`` is the student's (``Student.write``), so that no source's solutions go unchecked:
    their labels decode to them, end with end-of-sequence and hold no control token. A refusal starts with its kind:
    empty, truncated, too long, repetition, format, or the verifier's status.
    """
    written = write(text.strip())
    text = written.text
    return Demonstration(
        id=demonstration_id(question.id, text),
        question_id=question.id,
        text=text,
        source=source,
        tokens=written.tokens,
        cost_usd=answer.cost_usd if answer else 0.0,
        latency_seconds=answer.latency_seconds if answer else 0.0,
        refusal=_text_fault(text, written.tokens, max_tokens, answer.finish_reason if answer else FinishReason.STOP)
        or (f"format: {written.fault}" if written.fault else None)
        or _answer_fault(question, text, verifier),
    )


def admit_or_say(
    question: Question,
    text: str,
    *,
    source: str,
    answer: TeacherAnswer | None = None,
    by: Callable[..., Demonstration] | None = None,
    **checks: Any,
) -> Demonstration:
    """As ``admit``, or another check, of a text from outside; refused as well, "unchecked", where it brings one of ours
    down."""
    try:
        return (by or admit)(question, text, source=source, answer=answer, **checks)
    except (ReliftError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as problem:  # a panic in the tokenizer's Rust is no Exception
        log.error("a solution for the question %s could not be checked", question.id, exc_info=problem)
        return Demonstration(
            id=demonstration_id(question.id, text),
            question_id=question.id,
            text=text,
            source=source,
            tokens=0,
            cost_usd=answer.cost_usd if answer else 0.0,
            latency_seconds=answer.latency_seconds if answer else 0.0,
            refusal=f"unchecked: {type(problem).__name__}",
        )


def choose_shortest(candidates: Sequence[Demonstration]) -> list[Demonstration]:
    """Each text once, and of the admitted ones only the shortest (the first among equals) still admitted, in front."""
    distinct: dict[str, Demonstration] = {}
    for candidate in sorted(candidates, key=lambda d: (not d.is_admitted, d.tokens)):
        distinct.setdefault(candidate.id, candidate)
    ordered = list(distinct.values())
    return [
        replace(d, refusal=f"not the shortest: {d.tokens} tokens, another has {ordered[0].tokens}")
        if d.is_admitted and d is not ordered[0]
        else d
        for d in ordered
    ]


def is_repetitive(text: str) -> bool:
    """Whether a stretch of the text says the same over and over, as a teacher does that fell into a loop."""
    windows = range(0, max(1, len(text) - REPETITION_WINDOW + 1), REPETITION_WINDOW // 2)
    pieces = (text[start : start + REPETITION_WINDOW].encode("utf-8", "replace") for start in windows)
    return any(
        len(piece) >= REPETITION_WINDOW and len(piece) > REPETITION_FACTOR * len(zlib.compress(piece))
        for piece in pieces
    )


def _text_fault(text: str, tokens: int, max_tokens: int, finish_reason: FinishReason) -> str | None:
    if not text:
        return "empty"
    if finish_reason is FinishReason.LENGTH:
        return f"truncated: the teacher ran out of tokens after {tokens} of the student's"
    if tokens > max_tokens:
        return f"too long: {tokens} tokens, at most {max_tokens}"
    return "repetition: it loops" if is_repetitive(text) else None


def _answer_fault(question: Question, text: str, verifier: Verifier) -> str | None:
    verdict = verifier.verify(question.answer, text, FinishReason.STOP)
    return None if verdict.status is Status.CORRECT else _described(verdict, question.answer)


def _described(verdict: Verdict, gold: str) -> str:
    if verdict.status is Status.WRONG:
        detail = f"{_short(verdict.answer or '')} is not {_short(gold)}"
    else:
        detail = verdict.reason
    return f"{verdict.status.value}: {detail}" if detail else verdict.status.value


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
