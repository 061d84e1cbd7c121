"""Comparing with math-verify; runs in worker processes only, where it may hang, fail or fill the memory.

Its verdict is looked at once more where it is known to be too kind: it rounds to six decimals, so two tiny numbers are
the same to it, and it reads ``\\log`` with base ten.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from typing import Any

from relift.records import Status
from relift.verifier.equivalence import BETWEEN
from relift.verifier.forms.names import letters_of
from relift.verifier.spelling.brackets import closing, split_top

PARSE_SECONDS = 2
COMPARE_SECONDS = 2
"""Whole seconds: math-verify counts them with signal.alarm and swallows the error that a fraction raises."""
POINTS = 16
"""At which two expressions with letters are compared as numbers."""
DIGITS = 30
"""To which two equal numbers are compared again, relative to the gold."""
ROUNDED = 1e-5
"""Relative distance that a decimal of six places or more may have from an irrational number."""
FLOATING = 1e-12
"""The same where there are shorter decimals, which are exact numbers that sympy holds as floats."""

_COUNTING_LETTERS = frozenset("ijklmnpq")
_NAMED_OTHERWISE = frozenset(("e", "E", "i", "d", "\\pi"))
_BARE_LOGARITHM = re.compile(r"\\log(?![A-Za-z_])")
_FRACTION = re.compile(r"\\frac\{")
_LONG_FLOAT = re.compile(r"\d*\.\d{6,}")


class NotParsed(Exception):
    """math-verify found no mathematics in the text."""


def compare(gold: str, answer: str) -> tuple[Status, str]:
    """The status of a normalised answer and why, for both sides that passed the bounds.

    Several expressions, with ``BETWEEN`` in between, must all be equal in turn. Raises what math-verify raises: its
    TimeoutException, MemoryError, RecursionError, anything.
    """
    for expected, given in zip(gold.split(BETWEEN), answer.split(BETWEEN), strict=True):
        status, reason = _compare_expressions(expected, given)
        if status is not Status.CORRECT:
            return status, reason
    return Status.CORRECT, ""


def _compare_expressions(gold: str, answer: str) -> tuple[Status, str]:
    try:
        expected = _parsed_gold(gold)
    except NotParsed:
        return Status.BAD_GOLD, "math-verify cannot parse the gold answer"
    try:
        given = parse_text(answer)
    except NotParsed:
        return Status.WRONG, "no mathematics in the answer"
    if _has_lost_letters(gold, expected[0]) or _has_lost_letters(answer, given[0]):
        return Status.WRONG, "not decided: a letter that math-verify does not see"
    is_same = _is_same(expected, given)
    if not is_same and (_has_letter_i(expected) or _has_letter_i(given)):
        expected, given = _with_imaginary_unit(expected), _with_imaginary_unit(given)
        is_same = _is_same(expected, given)
    agree = _agree_at_points(expected[0], given[0])
    if agree is None:
        agree = is_same
    if not agree:
        return Status.WRONG, "not equal at a point" if is_same else ""
    reason = _too_kind(gold, answer, expected[0], given[0])
    return (Status.WRONG, reason) if reason else (Status.CORRECT, "")


def _agree_at_points(gold: Any, answer: Any) -> bool | None:
    """Whether two expressions with letters have equal real values wherever one of them has any; None where too few do.

    Fixed points of both signs, to ``DIGITS`` digits: enough to refuse what simplifying got wrong, and to accept an
    identity that holds on the whole common domain (``2\\arcsin\\sqrt{a}``, ``\\arccos(1-2a)``) and is not simplified.
    """
    import sympy
    from math_verify.utils import timeout

    if not all(isinstance(one, sympy.Expr) and not one.has(sympy.Float) for one in (gold, answer)):
        return None
    letters = sorted(gold.free_symbols | answer.free_symbols, key=str)
    if not letters or any(one.has(sympy.Integral, sympy.Limit, sympy.Derivative) for one in (gold, answer)):
        return None
    found: bool | None = timeout(COMPARE_SECONDS)(_compared_at_points)(gold, answer, letters)
    return found


def _compared_at_points(gold: Any, answer: Any, letters: list[Any]) -> bool | None:
    import sympy

    counts = _is_of_whole_numbers(gold, answer, letters)
    numbers, agreed = random.Random(POINTS), 0
    for index in range(POINTS):
        span = 1 if index % 2 else 4
        point = {
            one: sympy.Integer(numbers.randint(2, 9))
            if counts
            else sympy.Rational(numbers.randint(-89 * span * (span > 1), 89 * span), 97)
            for one in letters
        }
        first, second = (sympy.N(one.subs(point), DIGITS) for one in (gold, answer))
        if not all(one.is_number and one.is_finite for one in (first, second)):
            continue
        if first.is_comparable != second.is_comparable:
            return False
        if first.is_comparable:
            if abs(first - second) > FLOATING * max(abs(first), abs(second)):
                return False
            agreed += 1
    return True if agreed >= POINTS // 3 else None


def _is_of_whole_numbers(gold: Any, answer: Any, letters: list[Any]) -> bool:
    """Of ``\\lfloor x \\rfloor`` they would make x; only letters that count by custom are whole in there."""
    import sympy

    counting = sympy.Sum, sympy.Product, sympy.factorial, sympy.binomial, sympy.gamma
    if any(one.has(sympy.floor, sympy.ceiling) for one in (gold, answer)):
        return all(str(one)[0] in _COUNTING_LETTERS for one in letters)
    return any(one.has(*counting) for one in (gold, answer))


def _has_lost_letters(text: str, parsed: Any) -> bool:
    """Whether some letter of the text is in no name of what math-verify made of it."""
    import sympy

    names = "".join(str(one) for one in parsed.atoms(sympy.Symbol) | parsed.atoms(sympy.core.function.AppliedUndef))
    seen = set(re.findall(r"[a-z]", names.lower()))
    return any(letter.lstrip("\\").lower()[0] not in seen for letter in letters_of(text) - _NAMED_OTHERWISE)


def _has_letter_i(parsed: list[Any]) -> bool:
    return any(symbol.name == "i" for symbol in getattr(parsed[0], "free_symbols", ()))


def _with_imaginary_unit(parsed: list[Any]) -> list[Any]:
    """The same with i as the root of -1, and real letters: which of them are is guessed from the text otherwise."""
    import sympy

    if not isinstance(parsed[0], sympy.Expr):
        return parsed
    symbols = {one: sympy.I if one.name == "i" else sympy.Symbol(one.name, real=True) for one in parsed[0].free_symbols}
    return [parsed[0].subs(symbols), *parsed[1:]]


def _is_same(gold: list[Any], answer: list[Any]) -> bool:
    from math_verify import verify

    return bool(
        verify(
            gold,  # first: the comparison is not symmetric
            answer,
            float_rounding=6,
            numeric_precision=15,
            strict=True,
            allow_set_relation_comp=True,
            timeout_seconds=COMPARE_SECONDS,
            raise_on_error=True,
        )
    )


def _too_kind(gold_text: str, answer_text: str, gold: Any, answer: Any) -> str:
    """Why two texts that math-verify finds equal are not, or ""."""
    if _BARE_LOGARITHM.search(gold_text) or (_BARE_LOGARITHM.search(answer_text) and "\\log" in gold_text):
        natural = [_BARE_LOGARITHM.sub(r"\\ln", text) for text in (gold_text, answer_text)]
        if not _is_same(parse_text(natural[0]), parse_text(natural[1])):
            return "a logarithm of another base"
    from math_verify.utils import timeout

    is_long = _LONG_FLOAT.search(gold_text + answer_text) is not None
    are_apart = timeout(COMPARE_SECONDS)(_are_apart)(gold, answer, is_long)
    return "equal to six decimals only" if are_apart else ""


def _are_apart(gold: Any, answer: Any, is_long: bool) -> bool:
    """Whether two numbers, or two of two matrices, differ too much; False for what are neither.

    ``is_long``: a decimal of six places or more is in the text, which may stand for an irrational number.
    """
    import sympy

    if all(isinstance(one, (sympy.MatrixBase, sympy.MatrixExpr)) for one in (gold, answer)):
        cells = zip(sympy.Matrix(gold.doit()), sympy.Matrix(answer.doit()), strict=True)
        return any(_are_apart(one, other, is_long) for one, other in cells)
    if not all(isinstance(one, sympy.Expr) and not one.free_symbols for one in (gold, answer)):
        return False
    allowed = 10.0 ** (5 - DIGITS)
    if gold.has(sympy.Float) or answer.has(sympy.Float):
        stands_for = any(not one.has(sympy.Float) and not one.is_rational for one in (gold, answer))
        allowed = ROUNDED if is_long and stands_for else FLOATING
    difference, size = sympy.Abs(sympy.N(gold - answer, DIGITS)), sympy.Abs(sympy.N(gold, DIGITS))
    if not (difference.is_comparable and size.is_comparable):
        return False
    return bool(difference > allowed * (size if size else 1))


@lru_cache(maxsize=256)
def _parsed_gold(gold: str) -> list[Any]:
    return parse_text(gold)


def parse_text(text: str) -> list[Any]:
    """sympy's object for a normalised text and the text math-verify made it from; NotParsed where there is none.

    Both sides are wrapped alike: bare LaTeX would be parsed as the last plain number in it. Where the whole does not
    parse, math-verify would take any fraction in it, or what stands after the last equal sign; neither is the answer.
    """
    import sympy
    from math_verify import LatexExtractionConfig, parse

    parsed: list[Any] = parse(
        rf"\boxed{{{_digits_kept_together(text)}}}",
        [LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False)],
        parsing_timeout=PARSE_SECONDS,
        fallback_mode="no_fallback",
        raise_on_error=True,
    )
    if not parsed or isinstance(parsed[0], str):  # a text alone would be equal to itself and to nothing else
        raise NotParsed
    if isinstance(parsed[0], sympy.Expr) and len(split_top(text, "=")) > 1:
        raise NotParsed
    return parsed


def _digits_kept_together(text: str) -> str:
    """``\\frac{x}{2} \\cdot 10`` for ``\\frac{x}{2}10``, of which the parser makes x/2 times 1 times 0."""
    for found in reversed(list(_FRACTION.finditer(text))):
        end = closing(text, found.end() - 1)
        end = closing(text, end + 1) if end > 0 and text[end + 1 : end + 2] == "{" else -1
        if end > 0 and text[end + 1 : end + 2].isdigit():
            text = f"{text[: end + 1]}\\cdot {text[end + 1 :]}"
    return text
