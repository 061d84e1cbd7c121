"""Inequalities: chains of relations, and the regions that those in one letter describe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from relift.verifier.forms.names import is_name
from relift.verifier.forms.regions import REALS, Piece, Region, intersected, parse_region, united
from relift.verifier.values import samples
from relift.verifier.values.exact import Value, same
from relift.verifier.values.polynomials import ONE, UNIT, Sum
from relift.verifier.values.reader import read
from relift.verifier.values.samples import Sample

RELATION = re.compile(r"\\(?:le|ge|ne|in|notin|subset|subseteq|approx|sim|equiv|cong|propto|ll|gg)(?![A-Za-z])|[<>]")
_SIGN = re.compile(rf"({RELATION.pattern}|=)")
_TURNED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne", "=": "="}


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
    region: Region | None = None
    for left, sign, right in zip(terms, signs, terms[1:], strict=False):
        one = _half_line(left, sign, right)
        if one is None:
            return None
        region = one if region is None else intersected(region, one)
        if region is None:
            return None
    return region


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
    place = samples.sample_of(name)
    sample = samples.plus(place, samples.times(value.sample, Sample(-1 / slope)))
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


def same_relation(gold: Relation, answer: Relation) -> bool | None:
    """Two relations with the same signs between equal terms, or two inequalities that a factor makes the same."""
    turned = Relation(answer.terms[::-1], tuple(_TURNED.get(sign, sign) for sign in answer.signs[::-1]))
    for one in (answer, turned):
        if one.signs == gold.signs and all(_same_term(*pair) for pair in zip(gold.terms, one.terms, strict=True)):
            return True
    if len(gold.signs) != 1 or len(answer.signs) != 1:
        return False if len(gold.signs) != len(answer.signs) else None
    first, second = _difference(*gold.terms), _difference(*answer.terms)
    if first is None or second is None:
        return None
    ratio = proportional(first, second)
    if ratio is None:
        return False if first.is_complete and second.is_complete else None
    return gold.signs[0] == (answer.signs[0] if ratio > 0 else _TURNED.get(answer.signs[0], ""))


def _same_term(gold: str, answer: str) -> bool:
    if gold.replace(" ", "") == answer.replace(" ", ""):
        return True
    one, other = read(gold), read(answer)
    return one is not None and other is not None and same(one, other) is True
