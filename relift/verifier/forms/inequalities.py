"""Inequalities: chains of relations, and the regions that those in one letter describe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from relift.verifier.forms.finding import DIFFERENT, EQUAL, Finding, all_of, any_of, found, opened
from relift.verifier.forms.names import is_name
from relift.verifier.forms.regions import REALS, Piece, Region, intersected, parse_region, united
from relift.verifier.spelling.brackets import in_bars
from relift.verifier.values import samples
from relift.verifier.values.exact import Value, same
from relift.verifier.values.polynomials import ONE, UNIT, Sum
from relift.verifier.values.reader import read
from relift.verifier.values.samples import Sample

RELATION = re.compile(
    r"\\(?:le|ge|ne|in|ni|notin|subset|subseteq|subsetneq|supset|supseteq|approx|sim|equiv|cong|propto|ll|gg|parallel|perp)"
    r"(?![A-Za-z])|[<>]"
)
_OF_NUMBERS = ("<", ">", "\\le", "\\ge", "\\ne")
_SQUARE = re.compile(r"([A-Za-z])\^\{2\}")
_SIGN = re.compile(rf"({RELATION.pattern}|=)")
_TURNED = {
    "<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne", "=": "=",
    "\\approx": "\\approx", "\\sim": "\\sim", "\\equiv": "\\equiv", "\\cong": "\\cong", "\\parallel": "\\parallel",
    "\\perp": "\\perp", "\\subset": "\\supset", "\\supset": "\\subset", "\\subseteq": "\\supseteq",
    "\\supseteq": "\\subseteq", "\\in": "\\ni", "\\ni": "\\in", "\\ll": "\\gg", "\\gg": "\\ll",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Relation:
    """``terms`` with the ``signs`` between them, e.g. terms a, b, c and signs ``<``, ``\\le``."""

    terms: tuple[str, ...]
    signs: tuple[str, ...]


def parse_relation(text: str) -> Relation | None:
    pieces = [piece.strip() for piece in _SIGN.split(text)]
    terms, signs = pieces[::2], pieces[1::2]
    return Relation(tuple(terms), tuple(signs)) if all(terms) else None


def region_of(relation: Relation) -> Region | None:
    """What the relation says of its one letter, as intervals; None where it is of another kind."""
    terms, signs = relation.terms, relation.signs
    if signs == ("\\in",) and is_name(terms[0]):
        found = parse_region(terms[1])
        return found and Region(found.pieces, _variable(terms[0]))
    if len(signs) == 1 and (both := _both_ways(terms[0], signs[0], terms[1])) is not None:
        return both
    region: Region | None = None
    for left, sign, right in zip(terms, signs, terms[1:], strict=False):
        one = _half_line(left, sign, right)
        if one is None:
            return None
        region = one if region is None else intersected(region, one)
        if region is None:  # `a < 0 < b` is about two letters
            return None
    return region


def _both_ways(left: str, sign: str, right: str) -> Region | None:
    """Of ``|x-1| < 3`` and ``x^2 < 4``, whose right side is a positive number."""
    if right.startswith("|") or _SQUARE.fullmatch(right):
        left, sign, right = right, _TURNED.get(sign, ""), left
    square, bars = _SQUARE.fullmatch(left), in_bars(left)
    bound = read(right)
    if (square is None and bars is None) or bound is None or bound.rational is None or bound.rational <= 0:
        return None
    inner, end = (square[1], f"\\sqrt{{{right}}}") if square else (bars or "", right)
    if sign in ("<", "\\le"):
        low, high = _half_line(f"-{end}", sign, inner), _half_line(inner, sign, end)
        return None if low is None or high is None else intersected(low, high)
    if sign in (">", "\\ge"):
        low, high = _half_line(inner, _TURNED[sign], f"-{end}"), _half_line(inner, sign, end)
        return None if low is None or high is None else united([*low.pieces, *high.pieces], high.variable)
    return None


def _variable(text: str) -> str:
    return re.sub(r"\s", "", text)


def _half_line(left: str, sign: str, right: str) -> Region | None:
    """Of ``a < b`` that is linear in a single letter."""
    if sign not in ("<", ">", "\\le", "\\ge", "\\ne"):
        return None
    if right in ("\\infty", "+\\infty") and sign in ("<", "\\le") and is_name(left):
        return Region(REALS.pieces, _variable(left))
    if left == "-\\infty" and sign in ("<", "\\le") and is_name(right):
        return Region(REALS.pieces, _variable(right))
    difference = _difference(left, right)
    if difference is None or (linear := _linear(difference)) is None:
        return None
    letter, slope, end = linear
    sign = sign if slope > 0 else _TURNED[sign]
    if sign == "\\ne":
        return united([Piece(None, False, end, False), Piece(end, False, None, False)], letter)
    is_closed = sign in ("\\le", "\\ge")
    piece = Piece(None, False, end, is_closed) if sign in ("<", "\\le") else Piece(end, is_closed, None, False)
    return Region((piece,), letter)


def _difference(left: str, right: str) -> Value | None:
    one, other = read(left), read(right)
    return None if one is None or other is None else one.plus(other.negative())


def _linear(value: Value) -> tuple[str, Fraction, Value] | None:
    """Letter, slope and root of a sum ``a x + b`` with rational a."""
    if value.bottom != UNIT or not value.is_complete:
        return None
    letters = {
        name for monomial in value.top for name, _ in monomial if not name.isdigit() and name not in ("\\pi", "e", "i")
    }
    if len(letters) != 1:
        return None
    (name,) = letters
    slope = value.top.get(((name, Fraction(1)),))
    rest: Sum = {
        monomial: coefficient for monomial, coefficient in value.top.items() if monomial != ((name, Fraction(1)),)
    }
    if slope is None or any(name in dict(monomial) for monomial in rest):
        return None
    top = {monomial: -coefficient / slope for monomial, coefficient in rest.items()}
    letter = samples.sample_of(name)
    sample = samples.plus(letter, samples.times(value.sample, Sample(-1 / slope)))
    if set(top) <= {ONE}:
        sample = Sample(top.get(ONE, Fraction(0)))
    return name, slope, Value(top, UNIT, sample)


def proportional(gold: Value, answer: Value) -> Fraction | None:
    """The rational c with ``answer = c * gold`` where both are zero of the same equation; None where there is none."""
    monomial = next(iter(gold.top), None)
    if monomial is None or monomial not in answer.top:
        return None
    ratio = answer.top[monomial] / gold.top[monomial]
    return ratio if answer.top == {one: coefficient * ratio for one, coefficient in gold.top.items()} else None


def same_relation(gold: Relation, answer: Relation) -> Finding:
    """Two relations with the same signs between equal terms, or two inequalities that a factor makes the same.

    Whether a relation between numbers holds says nothing: ``3 < 5`` is not ``1 < 2``.
    """
    turned = Relation(answer.terms[::-1], tuple(_TURNED.get(sign, "") for sign in answer.signs[::-1]))
    if len(gold.signs) != len(answer.signs):
        return DIFFERENT
    termwise = any_of([_term_by_term(gold, one) for one in (answer, turned)])
    if termwise.is_equal or len(gold.signs) != 1 or gold.signs[0] not in _OF_NUMBERS:
        return termwise
    first, second = _difference(*gold.terms), _difference(*answer.terms)
    if first is None or second is None:
        return termwise
    if not (first.has_letters and second.has_letters):
        return DIFFERENT if termwise.is_equal is False else termwise
    ratio = proportional(first, second)
    if ratio is None:
        return DIFFERENT if first.is_complete and second.is_complete else termwise
    return found(gold.signs[0] == (answer.signs[0] if ratio > 0 else _TURNED.get(answer.signs[0], "")))


def _term_by_term(gold: Relation, answer: Relation) -> Finding:
    if gold.signs != answer.signs:
        return DIFFERENT
    return all_of([same_term(*pair) for pair in zip(gold.terms, answer.terms, strict=True)])


def same_term(gold: str, answer: str) -> Finding:
    """One side of a statement: the same text, or the same value."""
    if gold.replace(" ", "") == answer.replace(" ", ""):
        return EQUAL
    one, other = read(gold), read(answer)
    if one is None or other is None:
        return opened(gold, answer)
    is_same = same(one, other)
    return opened(gold, answer) if is_same is None else (EQUAL if is_same else DIFFERENT)
