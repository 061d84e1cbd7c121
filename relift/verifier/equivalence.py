"""Whether an answer is the gold, as far as that can be told in this process without parsing mathematics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from relift.records import DecidedBy, Status
from relift.verifier.bounds import another_kind, not_one_number, too_large
from relift.verifier.normalise import normalise
from relift.verifier.rational import Exact, exact_value

MAX_GOLD_CHARS = 10_000
MAX_RAW_CHARS = 4_000
"""An answer longer than this, and than four times its gold, is wrong before it is even normalised."""

_CHOICE = re.compile(r"\(?([A-Z])\)?")
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|textrm)\{([^{}]*)\}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z ]+")
_PLACEHOLDERS = {"nan", "null", "n/a"}
_DATE = re.compile(r"\d{1,4}-\d{1,2}-\d{1,4}|\d{1,2}/\d{1,2}/\d{2,4}")


@dataclass(frozen=True, slots=True)
class Decision:
    status: Status
    path: DecidedBy
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Both sides, normalised and small enough to be parsed."""

    gold: str
    answer: str


def decide(gold: str, answer: str) -> Decision | Undecided:
    """Compare bare answers: equal strings, exact numbers, choices and words, bounds, shapes, in this order.

    Two exact numbers are final both ways: a rounded decimal of a fraction is not that fraction. A single capital letter
    as gold is a choice, and words are words; both are compared as text, since a parser reads E as a number.
    """
    answer, gold = answer.strip(), gold.strip()
    if bad := _unusable(gold):
        return bad
    if gold == answer:
        return _settled(True, DecidedBy.STRING)
    if len(answer) > max(MAX_RAW_CHARS, 4 * len(gold)):
        return Decision(Status.WRONG, DecidedBy.GUARD, f"{len(answer)} characters")
    return _decide_normal(normalise(gold), normalise(answer))


def _decide_normal(gold: str, answer: str) -> Decision | Undecided:
    if gold == answer:
        return _settled(True, DecidedBy.STRING)
    if not answer:
        return Decision(Status.MALFORMED, DecidedBy.STRING, "an empty answer")
    gold_number, answer_number = exact_value(gold), exact_value(answer)
    if gold_number is not None and answer_number is not None:
        return _settled(answer_number.equals_gold(gold_number), DecidedBy.RATIONAL)
    if (as_text := _equal_as_text(gold, answer)) is not None:
        return _settled(as_text, DecidedBy.STRING)
    return _refused(gold, answer, gold_number) or Undecided(gold, answer)


def check_gold(gold: str) -> Decision | Undecided:
    """``decide`` of a gold with itself, but for equal strings, which would hide that it does not parse."""
    if bad := _unusable(gold):
        return bad
    normal = normalise(gold)
    if exact_value(normal) is not None:
        return _settled(True, DecidedBy.RATIONAL)
    if _equal_as_text(normal, normal) is not None:
        return _settled(True, DecidedBy.STRING)
    if reason := too_large(normal, gold_chars=len(normal)):
        return Decision(Status.BAD_GOLD, DecidedBy.GUARD, f"cannot be compared: {reason}")
    return Undecided(normal, normal)


def _unusable(gold: str) -> Decision | None:
    reason = None
    if len(gold) > MAX_GOLD_CHARS:
        reason = f"{len(gold)} characters, at most {MAX_GOLD_CHARS} are compared"
    elif not gold.isalnum() and not normalise(gold):
        reason = "empty"
    elif gold.lower() in _PLACEHOLDERS:
        reason = "a placeholder for a missing value"
    return Decision(Status.BAD_GOLD, DecidedBy.GUARD, reason) if reason else None


def _refused(gold: str, answer: str, gold_number: Exact | None) -> Decision | None:
    reason = too_large(answer, gold_chars=len(gold)) or another_kind(gold, answer)
    if reason is None and gold_number is not None:
        reason = not_one_number(answer)
    return Decision(Status.WRONG, DecidedBy.GUARD, reason) if reason else None


def _equal_as_text(gold: str, answer: str) -> bool | None:
    """Whether choices, words or dates agree; None where the gold is none of them."""
    plain_gold, plain_answer = _plain(gold), _plain(answer)
    if choice := _CHOICE.fullmatch(plain_gold):
        given = _CHOICE.fullmatch(plain_answer)
        return given is not None and given[1] == choice[1]
    if plain_gold != gold and _WORDS.fullmatch(plain_gold):
        return plain_gold.lower() == plain_answer.lower()
    if _DATE.fullmatch(gold):
        return gold == answer
    return None


def _plain(text: str) -> str:
    return _WRAPPER.sub(r"\1", text).strip()


def _settled(is_equal: bool, path: DecidedBy) -> Decision:
    return Decision(Status.CORRECT if is_equal else Status.WRONG, path)
