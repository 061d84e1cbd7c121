"""What a solution must pass before the student may train on it."""

from __future__ import annotations

from collections.abc import Callable

from relift.records import Demonstration, FinishReason, Question, Status, Verdict, demonstration_id
from relift.verifier import Verifier


def admit(
    question: Question,
    text: str,
    *,
    source: str,
    verifier: Verifier,
    count_tokens: Callable[[str], int],
    max_tokens: int,
    cost_usd: float = 0.0,
    latency_seconds: float = 0.0,
) -> Demonstration:
    """The solution as a demonstration, with the reason for its refusal where one check fails.

    Refused are, in this order: an empty text, one over ``max_tokens`` (never cut: its end is the answer), and one whose
    final answer the verifier does not call correct. ``count_tokens`` counts what the student trains on, end-of-sequence
    included. A refusal starts with its kind: empty, too long, or the verifier's status.
    """
    text = text.strip()
    tokens = count_tokens(text)
    return Demonstration(
        id=demonstration_id(question.id, text),
        question_id=question.id,
        text=text,
        source=source,
        tokens=tokens,
        cost_usd=cost_usd,
        latency_seconds=latency_seconds,
        refusal=_refusal(question, text, verifier, tokens, max_tokens),
    )


def _refusal(question: Question, text: str, verifier: Verifier, tokens: int, max_tokens: int) -> str | None:
    if not text:
        return "empty"
    if tokens > max_tokens:
        return f"too long: {tokens} tokens, at most {max_tokens}"
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
