"""Unions of intervals in one form, so that ``x<1 or x>2`` and ``(-\\infty,1)\\cup(2,\\infty)`` are the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from relift.verifier.forms.finding import DIFFERENT, EQUAL, Finding, all_of, found, opened
from relift.verifier.spelling.brackets import inside, split_top
from relift.verifier.values.exact import Value, number, same
from relift.verifier.values.reader import read

_INFINITE = {"\\infty": 1, "+\\infty": 1, "-\\infty": -1}
_REALS = frozenset(
    ("\\mathbb{R}", "\\text{R}", "\\text{all real numbers}", "\\text{all reals}", "\\text{real numbers}")
)
_POSITIVE = frozenset(("\\mathbb{R}^{+}", "\\mathbb{R}_{+}", "\\mathbb{R}_{>0}"))


@dataclass(frozen=True, slots=True)
class Piece:
    """One interval, e.g. (3, inf) as low 3, high None; a single point is closed with equal ends."""

    low: Value | None
    """None is minus infinity."""
    has_low: bool
    high: Value | None
    has_high: bool


@dataclass(frozen=True, slots=True)
class Region:
    pieces: tuple[Piece, ...]
    variable: str = ""
    """The letter of an inequality; intervals have none."""
    domain: str = ""
    """Of which numbers these are only the whole ones: Z, or N where nobody says whether 0 is one of them."""


REALS = Region((Piece(None, False, None, False),))


def parse_region(text: str) -> Region | None:
    """An interval, a union of intervals and finite sets, or one without some points; None where it is none of them."""
    base, *without = _split_command(text, "\\setminus")
    if len(without) == 1:
        region, points = parse_region(base), _points(without[0])
        return None if region is None or points is None else _without(region, points)
    pieces: list[Piece] = []
    for part in _split_command(text, "\\cup"):
        found = _interval(part) or _points(part)
        if found is None:
            return None
        pieces += found
    return united(pieces)


def _split_command(text: str, command: str) -> list[str]:
    marked = text.replace(command, "\x00")
    return [part.strip() for part in split_top(marked, "\x00")] if "\x00" in marked else [text]


def _interval(text: str) -> list[Piece] | None:
    text = text.strip()
    if text in _REALS:
        return list(REALS.pieces)
    zero = read("0")
    if text in _POSITIVE:
        return [Piece(zero, False, None, False)]
    if len(text) < 5 or text[0] not in "([]" or text[-1] not in ")][":
        return None
    ends = split_top(text[1:-1], ",;")
    if len(ends) != 2:
        return None
    low, high = (end.strip() for end in ends)
    low_value, high_value = read(low), read(high)
    if (low_value is None and _INFINITE.get(low) != -1) or (high_value is None and _INFINITE.get(high) != 1):
        return None
    return [
        Piece(
            low_value, text[0] == "[" and low_value is not None, high_value, text[-1] == "]" and high_value is not None
        )
    ]


def _points(text: str) -> list[Piece] | None:
    content = inside(text.strip(), "\\{", "\\}")
    if content is None:
        return None
    values = [read(part.strip()) for part in split_top(content, ",;")]
    return [Piece(value, True, value, True) for value in values if value is not None] if None not in values else None


def united(pieces: list[Piece], variable: str = "") -> Region | None:
    """The pieces in order, overlapping and touching ones as one; None where an end is not on the line."""
    if len(pieces) == 1:
        return Region(tuple(pieces), variable)
    if not all(map(_is_placed, pieces)):
        return None
    merged: list[Piece] = []
    for piece in sorted(pieces, key=lambda one: (_low(one), not one.has_low)):
        if _low(piece) > _high(piece) or (_low(piece) == _high(piece) and not (piece.has_low and piece.has_high)):
            continue  # empty
        if merged and _touch(merged[-1], piece):
            last = merged[-1]
            if (_high(piece), piece.has_high) > (_high(last), last.has_high):
                merged[-1] = replace(last, high=piece.high, has_high=piece.has_high)
        else:
            merged.append(piece)
    return Region(tuple(merged), variable)


def intersected(one: Region, other: Region) -> Region | None:
    if one.domain or other.domain or (one.variable and other.variable and one.variable != other.variable):
        return None
    if not all(map(_is_placed, (*one.pieces, *other.pieces))):
        return None
    pieces = []
    for left in one.pieces:
        for right in other.pieces:
            low = max((left, right), key=lambda piece: (_low(piece), not piece.has_low))
            high = min((left, right), key=lambda piece: (_high(piece), piece.has_high))
            pieces.append(Piece(low.low, low.has_low, high.high, high.has_high))
    kept = [
        piece
        for piece in pieces
        if _low(piece) < _high(piece) or (_low(piece) == _high(piece) and piece.has_low and piece.has_high)
    ]
    return united(kept, one.variable or other.variable) if kept else Region((), one.variable)


def _without(region: Region, points: list[Piece]) -> Region | None:
    pieces = list(region.pieces)
    for point in points:
        cut: list[Piece] = []
        for piece in pieces:
            if not _low(piece) <= _low(point) <= _high(piece):
                cut.append(piece)
                continue
            cut.append(replace(piece, high=point.low, has_high=False))
            cut.append(replace(piece, low=point.low, has_low=False))
        pieces = cut
    return united(pieces, region.variable)


def without_region(region: Region, other: Region) -> Region | None:
    """The numbers of the one that are not in the other."""
    for piece in other.pieces:
        rest = [Piece(None, False, piece.low, not piece.has_low)] if piece.low is not None else []
        rest += [Piece(piece.high, not piece.has_high, None, False)] if piece.high is not None else []
        outside = united(rest) if rest else Region(())
        left = None if outside is None else intersected(region, outside)
        if left is None:
            return None
        region = left
    return region


def _touch(left: Piece, right: Piece) -> bool:
    if _low(right) < _high(left):
        return True
    return _low(right) == _high(left) and (left.has_high or right.has_low)


def _is_placed(piece: Piece) -> bool:
    return all(end is None or _position(end) is not None for end in (piece.low, piece.high))


def _position(value: Value) -> float | None:
    return None if value.sample is None or value.has_letters else value.sample.position


def _low(piece: Piece) -> float:
    return float("-inf") if piece.low is None else _position(piece.low) or 0.0


def _high(piece: Piece) -> float:
    return float("inf") if piece.high is None else _position(piece.high) or 0.0


def same_region(gold: Region, answer: Region) -> Finding:
    if gold.variable and answer.variable and gold.variable != answer.variable:
        return DIFFERENT
    if len(gold.pieces) != len(answer.pieces) or gold.domain != answer.domain:
        return DIFFERENT
    findings = []
    for one, other in zip(gold.pieces, answer.pieces, strict=True):
        if (one.has_low, one.has_high) != (other.has_low, other.has_high):
            return DIFFERENT
        findings += [_same_end(one.low, other.low), _same_end(one.high, other.high)]
    return all_of(findings)


def _same_end(one: Value | None, other: Value | None) -> Finding:
    if one is None or other is None:
        return found(one is other)
    is_same = same(one, other)
    return opened(one.text, other.text) if is_same is None else (EQUAL if is_same else DIFFERENT)


MAX_WHOLE = 200
"""Whole numbers of a region that are counted out."""
_LOWEST = {"N": 0, "N0": 0, "Z+": 1}


def whole_numbers(region: Region, domain: str) -> list[int] | Region | None:
    """Those of a region, counted out where they are few: ``[1, 2, 3]``; None where an end is not on the line."""
    if len(region.pieces) != 1 or not all(map(_is_placed, region.pieces)):
        return None
    (piece,) = region.pieces
    low, high = _first_whole(piece), _last_whole(piece)
    lowest = _LOWEST.get(domain)
    if lowest is not None and (low is None or low <= lowest):
        low = lowest
    elif domain == "N":
        domain = "Z"  # it begins above 0 and 1
    if low is not None and high is not None:
        return list(range(low, high + 1)) if high - low < MAX_WHOLE else None
    ends = [None if end is None else number(end) for end in (low, high)]
    whole = Piece(ends[0], low is not None, ends[1], high is not None)
    return Region((whole,), region.variable, "N" if domain == "N" and low == 0 else "Z")


def _first_whole(piece: Piece) -> int | None:
    if piece.low is None:
        return None
    position = _exact_position(piece.low)
    return math.floor(position) + 1 if not piece.has_low else math.ceil(position)


def _last_whole(piece: Piece) -> int | None:
    if piece.high is None:
        return None
    position = _exact_position(piece.high)
    return math.ceil(position) - 1 if not piece.has_high else math.floor(position)


def _exact_position(value: Value) -> Fraction:
    return value.rational if value.rational is not None else Fraction(_position(value) or 0.0)
