"""The kinds of answers, and how much of a comparison of each is settled in the calling process."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from relift.records import DecidedBy, Status
from relift.verifier import equivalence
from relift.verifier.bounds import too_large
from relift.verifier.equivalence import MAX_GOLD_CHARS, MAX_RAW_CHARS, Decision, Undecided
from relift.verifier.forms.agreement import compare
from relift.verifier.forms.choices import choice_of
from relift.verifier.forms.rounded import is_rounded_gold
from relift.verifier.forms.shapes import Single, parse
from relift.verifier.guards import disguised
from relift.verifier.normalise import normalise
from relift.verifier.rational import Exact, exact_value
from relift.verifier.workers.comparisons import is_within
from relift.verifier.workers.messages import Job

AnswerKind = Literal["math", "choice", "text", "number", "callable"]
"""math: by mathematical value; choice: letters; text: the same text; number: within a tolerance; callable: a user's
own function."""

MAX_OWN_CHARS = 50_000
"""Of an answer that a user's function is given; a longer one is wrong."""

_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathsf)\{([^{}]*)\}")
_LETTER = re.compile(r"\(([A-Za-z])\)|([A-Za-z])[.):]?")
_LETTERS = re.compile(r"[A-Z]{2,10}")
_BETWEEN = re.compile(r"\s*(?:[,;&]|\band\b|\s)\s*(?:and\b\s*)?")
_SCIENTIFIC = re.compile(r"([+-]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300}))[eE]([+-]?\d{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How an extracted answer is compared with its gold, e.g. kind ``"number"``, tolerance ``"0.01"``."""

    kind: AnswerKind = "math"
    tolerance: str = "0"
    """number: relative to the gold; where that is 0, absolute."""
    function: str = ""
    """callable: ``package.module:function``."""
    rounded_golds: bool = False
    """math: golds may be rounded, so an exact answer is right where it rounds to the gold's last digit."""

    def decide(self, gold: str, answer: str) -> Decision | Undecided:
        """What can be told here without parsing mathematics or running anybody's code."""
        if self.kind == "math":
            return self._mathematics(gold, answer)
        gold, answer = gold.strip(), answer.strip()
        if reason := _unusable(gold) or self._unfit(gold):
            return Decision(Status.BAD_GOLD, DecidedBy.GUARD, reason)
        most = MAX_OWN_CHARS if self.kind == "callable" else max(MAX_RAW_CHARS, 4 * len(gold))
        if len(answer) > most:
            return Decision(Status.WRONG, DecidedBy.GUARD, f"{len(answer)} characters")
        if self.kind == "choice":
            given = choices(answer)
            return _settled(given == choices(gold), "" if given else "no choice")
        if self.kind == "text":
            return _settled(in_one_spelling(gold) == in_one_spelling(answer))
        return Undecided(gold, answer) if self.kind == "callable" else self._number(gold, answer)

    def check_gold(self, gold: str) -> Decision | Undecided:
        """``decide`` of a gold with itself. Only a user's function knows what its golds are: they pass unless empty."""
        if self.kind == "math":
            return equivalence.check_gold(gold)
        reason = _unusable(gold.strip()) or self._unfit(gold.strip())
        return Decision(Status.BAD_GOLD, DecidedBy.GUARD, reason) if reason else _settled(True)

    @property
    def path(self) -> DecidedBy:
        """That of what a worker decides."""
        return DecidedBy.CALLABLE if self.kind == "callable" else DecidedBy.SYMPY

    def job(self, *, hard_limit_seconds: float) -> Job:
        """What a worker is started for."""
        return Job(
            task=self.kind if self.kind in ("number", "callable") else "math",
            tolerance=self.tolerance,
            function=self.function,
            cpu_seconds=int(hard_limit_seconds) + 2,
        )

    def _mathematics(self, gold: str, answer: str) -> Decision | Undecided:
        decided = equivalence.decide(gold, answer)
        is_open = isinstance(decided, Undecided) or decided.status is Status.WRONG
        if self.rounded_golds and is_open and len(answer) <= MAX_RAW_CHARS and is_rounded_gold(gold, answer):
            return Decision(Status.CORRECT, DecidedBy.RATIONAL, "it rounds to the gold")
        return decided

    def _unfit(self, gold: str) -> str:
        """Why such a gold cannot be of this kind."""
        if self.kind == "choice" and not choices(gold):
            return "not a choice: one letter, or several"
        if self.kind == "number" and number_of(gold) is None:
            return "not a number"
        return ""

    def _number(self, gold: str, answer: str) -> Decision | Undecided:
        expected, given = number_of(gold), number_of(answer)
        assert expected is not None  # _unfit has seen to it
        if given is not None:
            values = [given.value] + [given.number] * (given.is_percent and not expected.is_percent)
            is_near = any(is_within(value, expected.value, Fraction(self.tolerance)) for value in values)
            return Decision(Status.CORRECT if is_near else Status.WRONG, DecidedBy.RATIONAL)
        normal = normalise(answer)
        if not normal:
            return Decision(Status.MALFORMED, DecidedBy.STRING, "an empty answer")
        if reason := too_large(normal) or compare(Single("0"), parse(normal)).refused or disguised(gold, normal):
            return Decision(Status.WRONG, DecidedBy.GUARD, reason)
        return Undecided(str(expected.value), normal)


def choices(text: str) -> frozenset[str]:
    """The letters that a choice names: ``B``, ``(b)``, ``\\text{B}``, ``B. Paris``, ``A, C and D``, ``ACD``.

    Empty where the text hedges (``A or B``), where the text of a choice names another one, and where it is none.
    """
    plain = _WRAPPER.sub(r"\1", normalise(text)).strip().rstrip(".,;:")
    if _LETTERS.fullmatch(plain):
        return frozenset(plain)
    letters = [_LETTER.fullmatch(part) for part in _BETWEEN.split(plain)]
    if all(letters):
        return frozenset((letter[1] or letter[2]).upper() for letter in letters if letter)
    return frozenset(choice_of(plain))


def in_one_spelling(text: str) -> str:
    """The text in one spelling: NFC, single blanks, without ``$`` around it and without a ``\\text{}`` around it.

    Letters keep their case.
    """
    plain = unicodedata.normalize("NFC", text).strip().strip("$").strip()
    if whole := _WRAPPER.fullmatch(plain):
        plain = whole[1]
    return " ".join(plain.split())


def number_of(text: str) -> Exact | None:
    """The number that a text spells, also as ``6.02e23``; None where it takes a parser to tell."""
    normal = normalise(text)
    if scientific := _SCIENTIFIC.fullmatch(normal):
        return Exact(Fraction(scientific[1]) * Fraction(10) ** int(scientific[2]))
    return exact_value(normal)


def _unusable(gold: str) -> str:
    if len(gold) > MAX_GOLD_CHARS:
        return f"{len(gold)} characters, at most {MAX_GOLD_CHARS} are compared"
    return "" if gold else "empty"


def _settled(is_equal: bool, reason: str = "") -> Decision:
    return Decision(Status.CORRECT if is_equal else Status.WRONG, DecidedBy.STRING, reason)
