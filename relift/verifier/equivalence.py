"""Whether an answer is the gold, as far as that can be told in this process without a parser of mathematics.

In this order: equal texts, exact numbers, words, forms and exact arithmetic, bounds. What remains open is for a worker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from relift.records import DecidedBy, Status
from relift.verifier.bounds import is_whole_text, too_costly, too_large, too_long
from relift.verifier.extraction import extract
from relift.verifier.forms.agreement import compare
from relift.verifier.forms.choices import choice_of, is_choice_letter, is_dated, label_of, letter_and_text, same_words
from relift.verifier.forms.finding import Finding
from relift.verifier.forms.parameters import with_same_parameter
from relift.verifier.forms.shapes import Several, Shape, Single, Solutions, parse
from relift.verifier.forms.units import quantities, unit_of
from relift.verifier.guards import digits_of, disguised, is_expression, number_base
from relift.verifier.normalise import normalise
from relift.verifier.rational import MAX_CHARS as MAX_DIGITS
from relift.verifier.rational import Exact, exact_value

BETWEEN = "\x1e"
LITERAL_ONLY = "the gold does not parse and is not this text"
NOT_DECIDED = "not decided: not an expression, and no statement that is compared here"
MAX_GOLD_CHARS = 10_000
MAX_RAW_CHARS = 2_000
"""An answer longer than this, and than four times its gold, is wrong before it is even normalised."""

_PLACEHOLDERS = {"nan", "null", "n/a", "none given", "-", "?"}
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")
_COMMA_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")
_BASE_TEN = re.compile(r"_\s*\{?\s*(?:10|\\text\{\s*ten\s*\})\s*\}?[\s$).\\]*$")
_DOLLARS = unit_of("dollars")


@dataclass(frozen=True, slots=True)
class Decision:
    status: Status
    path: DecidedBy
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Expressions of gold and answer, small enough to be parsed; ``BETWEEN`` parts those that must be equal in turn."""

    gold: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Gold:
    """A gold as every answer to it needs it."""

    normal: str
    number: Exact | None
    shape: Shape
    as_list: Several | None = None
    """Its numbers where its commas may part thousands as well as numbers."""
    fault: Decision | None = None


_EQUAL_TEXT = Decision(Status.CORRECT, DecidedBy.STRING)
_OTHER_TEXT = Decision(Status.WRONG, DecidedBy.STRING)
_EQUAL_VALUE = Decision(Status.CORRECT, DecidedBy.RATIONAL)
_OTHER_VALUE = Decision(Status.WRONG, DecidedBy.RATIONAL)
_EMPTY = Decision(Status.MALFORMED, DecidedBy.STRING, "an empty answer")


def decide(gold: str, answer: str) -> Decision | Undecided:
    """Compare bare answers by the policy of this project.

    Two exact values are final both ways: a rounded decimal of a fraction is not that fraction. A single capital letter
    as gold is a choice, and words are words; both are compared as text, since a parser reads E as a number.
    """
    if gold.isdigit() and answer.isdigit() and (plain := _plain_integers(gold, answer)):
        return plain
    prepared = _prepared(gold)
    normal = _spelled(prepared, gold, answer)
    if isinstance(normal, Decision):
        return normal
    if (
        decided := _as_numbers(prepared, normal)
        or _as_labelled(prepared, normal)
        or _as_texts(prepared.normal, normal, answer)
    ):
        return decided
    choice, text = letter_and_text(normal)
    if choice and choice not in prepared.normal:  # `(B) 42` for 42; but `(B)2` is 2B
        return _EQUAL_TEXT if text == prepared.normal else decide(gold, text)
    return _as_mathematics(prepared, answer, normal)


def check_gold(gold: str) -> Decision | Undecided:  # noqa: PLR0911  (a rule a line)
    """``decide`` of a gold with itself, but for equal texts, which would hide that it does not parse."""
    prepared = _prepared(gold)
    if prepared.fault is not None:
        return prepared.fault
    if decided := _as_texts(prepared.normal, prepared.normal, gold):
        return decided
    letter, text = label_of(prepared.normal)
    if letter and not isinstance(prepared.shape, Solutions):
        return check_gold(text)
    finding = compare(prepared.shape, prepared.shape)
    if prepared.number is not None or finding.is_equal:
        return _EQUAL_VALUE
    if reason := too_costly(prepared.normal):
        return Decision(Status.BAD_GOLD, DecidedBy.GUARD, f"cannot be compared: {reason}")
    if finding.is_equal is None and all(is_expression(one) for one, _ in finding.rest):
        return _undecided(finding)
    if is_whole_text(prepared.normal):
        return _wrong(LITERAL_ONLY)
    return Decision(Status.BAD_GOLD, DecidedBy.GUARD, "no answer but this text could be compared with it")


def decide_number(gold: str, answer: str) -> Decision:
    """``decide`` where an answer must be one written number: ``1+2`` is not 3, since the question says as much."""
    prepared = _prepared(gold)
    normal = _spelled(prepared, gold, answer)
    if isinstance(normal, Decision):
        return normal
    return _as_numbers(prepared, normal) or Decision(Status.WRONG, DecidedBy.STRING, "not a plain number")


def check_number(gold: str) -> Decision:
    """Whether ``decide_number`` has anything to compare with."""
    prepared = _prepared(gold)
    if prepared.fault is None and prepared.number is None:
        reason = "not a plain number, and the answer form 'equals' compares those only"
        return Decision(Status.BAD_GOLD, DecidedBy.GUARD, reason)
    return prepared.fault or _EQUAL_VALUE


def _plain_integers(gold: str, answer: str) -> Decision | None:
    """What most answers are, without preparing their golds; None where it takes more than int()."""
    if gold == answer:
        return _EQUAL_TEXT if gold.isascii() else None
    if len(gold) > MAX_DIGITS or len(answer) > MAX_DIGITS or not (gold.isascii() and answer.isascii()):
        return None
    return _EQUAL_VALUE if int(gold) == int(answer) else _OTHER_VALUE


def _spelled(prepared: _Gold, gold: str, answer: str) -> Decision | str:
    """The answer in its one spelling, or the decision where spelling is enough."""
    if prepared.fault is not None:
        return prepared.fault
    if gold.strip() == answer.strip():
        return _EQUAL_TEXT
    if len(answer) > max(MAX_RAW_CHARS, 4 * len(gold)):
        return _wrong(f"{len(answer)} characters")
    normal = normalise(answer)
    if "." in prepared.normal:
        normal = normal.removeprefix("\\approx").strip()  # of a number that is exact it would be a hedge
    if prepared.normal == normal:
        return _EQUAL_TEXT
    return normal or _EMPTY


def _as_numbers(gold: _Gold, normal: str) -> Decision | None:
    number = exact_value(normal) if gold.number is not None else None
    if gold.number is None or number is None:
        return None
    return _EQUAL_VALUE if number.equals_gold(gold.number) else _OTHER_VALUE


def _as_labelled(gold: _Gold, normal: str) -> Decision | Undecided | None:
    """Of a gold such as ``(B) 42``: its letter, what it stands for, or both; None of any other gold."""
    letter, text = label_of(gold.normal)
    if not letter or isinstance(gold.shape, Solutions):
        return None
    given, given_text = letter_and_text(normal)
    if given:
        return decide(text, given_text) if given == letter else _OTHER_TEXT
    if choice_of(normal) == letter and is_choice_letter(gold.normal, letter):
        return _EQUAL_TEXT
    return decide(text, normal)


def _as_texts(gold: str, answer: str, raw: str) -> Decision | None:
    """Words, choices, dates, times, hours with minutes, numbers with a base; None where the gold is none of them."""
    if (is_same := same_words(gold, answer)) is not None:
        return _EQUAL_TEXT if is_same else _OTHER_TEXT
    if measured := quantities(gold):
        return _EQUAL_TEXT if quantities(answer) == measured else _OTHER_TEXT
    if (expected := number_base(gold)) is None:
        return None
    if _BASE_TEN.search(raw):  # normalising leaves it out
        return _wrong("another number base")
    given = number_base(answer) or (digits_of(answer), expected[1])  # a question says in which base it wants a number
    if given[1] != expected[1]:
        return _wrong("another number base")
    return _EQUAL_TEXT if given == expected else _OTHER_TEXT


def _as_mathematics(gold: _Gold, raw: str, normal: str) -> Decision | Undecided:  # noqa: PLR0911  (a rule a line)
    if reason := too_long(normal, gold_chars=len(gold.normal)):
        return _wrong(reason)
    finding = _compared(gold, raw, normal)
    if not finding.is_equal and (renamed := with_same_parameter(gold.normal, normal)) is not None:
        finding = _compared(gold, raw, renamed)
    if finding.refused:
        return _wrong(finding.refused)
    if finding.is_equal is not None:
        return _EQUAL_VALUE if finding.is_equal else _OTHER_VALUE
    if reason := too_large(normal, gold=gold.normal):
        return _wrong(reason)
    for expected, given in finding.rest:
        if not (is_expression(expected) and is_expression(given)):
            return _wrong(NOT_DECIDED)
        if reason := disguised(expected, given):
            return _wrong(reason)
    return _undecided(finding)


def _undecided(finding: Finding) -> Undecided:
    return Undecided(*(BETWEEN.join(texts) for texts in zip(*finding.rest, strict=True)))


def _compared(gold: _Gold, raw: str, normal: str) -> Finding:
    """What comes of the answer's shape; commas are read as the gold has them."""
    if is_dated(normal):
        return Finding(False, "a date")  # a parser would subtract its parts
    shape = _with_currency(parse(normal), raw)
    expected = gold.shape
    if gold.as_list is not None and isinstance(shape, Several):
        expected = gold.as_list
    elif isinstance(expected, Several) and isinstance(shape, Single):
        shape = parse(normalise(raw, is_list=True))  # `100,200` is a number only where one is asked for
    elif isinstance(shape, Several) and "." in gold.normal and (decimal := _DECIMAL_COMMA.fullmatch(normal)):
        shape = parse(f"{decimal[1]}.{decimal[2]}")
    return compare(expected, shape)


def _with_currency(shape: Shape, raw: str) -> Shape:
    """``\\$`` as the unit that it is; normalising drops it, since most golds in dollars have no sign."""
    if "\\$" in raw and isinstance(shape, Single) and (shape.unit is None or shape.unit.is_plain):
        return replace(shape, unit=replace(_DOLLARS, factor=shape.unit.factor if shape.unit else 1))
    return shape


@lru_cache(maxsize=512)
def _prepared(gold: str) -> _Gold:
    """A gold may itself hold a box; what stands in it is the gold then."""
    text = gold.strip()
    if len(text) > MAX_GOLD_CHARS:
        return _bad(f"{len(text)} characters, at most {MAX_GOLD_CHARS} are compared")
    if "\\boxed" in text:
        text = extract(text, "boxed").answer or ""
    normal = normalise(text).removeprefix("\\approx").strip()
    if not normal or normal.lower() in _PLACEHOLDERS:
        return _bad("a placeholder for a missing value" if normal else "empty")
    as_list = parse(normalise(text, is_list=True)) if _COMMA_THOUSANDS.search(text) else None
    return _Gold(
        normal,
        exact_value(normal),
        _with_currency(parse(normal), text),
        as_list if isinstance(as_list, Several) else None,
    )


def _bad(reason: str) -> _Gold:
    return _Gold("", None, Single(""), fault=Decision(Status.BAD_GOLD, DecidedBy.GUARD, reason))


def _wrong(reason: str) -> Decision:
    return Decision(Status.WRONG, DecidedBy.GUARD, reason)
