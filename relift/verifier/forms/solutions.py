"""Values of several names at once: ``x=1, y=2 or x=2, y=1``, ``(x,y)=(1,2),(2,1)``, ``A: 3, B: 4``.

Which value belongs to which name, and to which solution, is what such an answer says; a flat list would lose it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relift.verifier.forms.connectors import AND, OR
from relift.verifier.forms.names import is_name, letter_of
from relift.verifier.spelling.brackets import inside, split_top

MAX_ROWS = 200
_LABEL = re.compile(r"\(?([A-Za-z]|[IVX]{1,5})(?:\)\s*:?|\s*:|\.)\s*(?=[^\s=^_])(.+)", re.DOTALL)
_WORD_LABEL = re.compile(
    r"\\text\{([A-Za-z][A-Za-z ]*?)\s*:?\s*\}\s*:?\s*(?=[-\d\\(])(.+)|([A-Z][a-z]{2,20}):\s*(.+)", re.DOTALL
)
_FIRST_PART = re.compile(r"\((a|A|i|1)\)\s*[^\s(),;]")  # `(1)(2)` is a product
_NEXT_PARTS = {
    first: re.compile(rf"(?<![,;(A-Za-z\x01])\s*(?=\((?:{others})\))")  # `(a) f(b)` has one part
    for first, others in (("a", "[b-d]"), ("A", "[B-D]"), ("i", "ii|iii|iv|v"), ("1", "[2-6]"))
}
_NUMBERED = re.compile(r"\(([1-6]|[iv]{1,3})\)\s*:?\s*([^\s=][^=]*)")
_ROMAN = dict(zip("123456", ("i", "ii", "iii", "iv", "v", "vi"), strict=True))
_INDEX = re.compile(r"_\{(\d+)\}")


@dataclass(frozen=True, slots=True)
class Rows:
    """``names`` and for each solution the texts of their values, e.g. x, y and ((1, 2), (2, 1))."""

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]


def solutions(text: str) -> Rows | None:
    """Of a text whose connectors are marked; None where it does not give every name its value."""
    if "=" not in text and ":" not in text and "." not in text and ")" not in text:
        return None
    has_or, parted = OR in text, len(split_top(text, ";")) > 1
    alternatives = [part for part in split_top(text, OR + (";" if parted else "")) if part.strip(" ,")]
    if parted and not has_or and all(len(split_top(part, "," + AND)) == 1 for part in alternatives):
        alternatives = [",".join(alternatives)]  # `x=1; y=2` is one
    if len(alternatives) > MAX_ROWS:
        return None
    rows: list[dict[str, str]] = []
    for alternative in alternatives:
        found = _assignments(alternative, list(rows[0]) if rows else [])
        if not found:
            return None
        rows += found
    return _made(rows)


def _made(rows: list[dict[str, str]]) -> Rows | None:
    if any(len(row) < 2 for row in rows):
        return None
    if len(rows) > 1 and list(rows[0]) != list(rows[1]):
        rows = [_without_index(row) for row in rows]
    names = tuple(rows[0])
    if any(set(row) != set(names) for row in rows) or (len(rows) == 1 and len(set(map(letter_of, names))) == 1):
        return None  # `x_1=1, x_2=2` numbers the values of one name
    return Rows(names, tuple(tuple(row[name] for name in names) for row in rows))


def _without_index(row: dict[str, str]) -> dict[str, str]:
    """``x_{2}=1, y_{2}=2`` as x and y: the index numbers the solution."""
    indices = [_INDEX.findall(name) for name in row]
    if len({tuple(index) for index in indices}) != 1 or len(indices[0]) != 1:
        return row
    return {_INDEX.sub("", name): value for name, value in row.items()}


def _assignments(text: str, known: list[str]) -> list[dict[str, str]]:
    """The solutions that one alternative lists, each by name; ``known`` are the names of an earlier one."""
    text = text.strip(" ,")
    for opening, closing in (("[", "]"), ("(", ")"), ("\\{", "\\}")):
        content = inside(text, opening, closing) or ""
        if any("=" in part for part in split_top(content, "," + AND)):
            text = content.strip()
    pieces = _parts(text)
    sided = [[side.strip() for side in split_top(_labelled(piece), "=")] for piece in pieces]
    if any(len(sides) > 2 or not all(sides) for sides in sided):
        return []
    if all(len(sides) == 2 and is_name(sides[0]) and not _is_tuple(sides[0]) for sides in sided):
        return _grouped([(sides[0], sides[1]) for sides in sided])
    return _tuples(sided, known) or _side_by_side(sided, known)


def _grouped(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    """``x=1, y=2, x=3, y=4`` as two solutions: the names come round again."""
    names = [name for name, _ in pairs]
    width = next((at for at in range(1, len(names)) if names[at] == names[0]), len(names))
    if not names or len(names) % width or width == 1 or len(set(names[:width])) < width:
        return []
    rows = [dict(pairs[at : at + width]) for at in range(0, len(pairs), width)]
    return rows if all(list(row) == names[:width] for row in rows) else []


def _tuples(sided: list[list[str]], known: list[str]) -> list[dict[str, str]]:
    """``(x,y)=(1,2),(3,4)``, also without its names where an earlier solution had them."""
    rows = []
    for sides in sided:
        if len(sides) == 2:
            known = _elements(sides[0])
            if len(known) < 2 or len(set(known)) < len(known) or not all(map(is_name, known)):
                return []
        values = _elements(sides[-1])
        if not known or len(values) != len(known):
            return []
        rows.append(dict(zip(known, values, strict=True)))
    return rows


def _side_by_side(sided: list[list[str]], known: list[str]) -> list[dict[str, str]]:
    """``a, b = 1, 4``, and ``2, 5`` after it."""
    equal = [at for at, sides in enumerate(sided) if len(sides) == 2]
    if not equal:
        values = [sides[0] for sides in sided]
        return [dict(zip(known, values, strict=True))] if len(values) == len(known) > 1 else []
    if len(equal) > 1 or equal[0] == 0:
        return []
    at = equal[0]
    names = [*(sides[0] for sides in sided[:at]), sided[at][0]]
    values = [sided[at][1], *(sides[0] for sides in sided[at + 1 :])]
    if len(names) != len(values) or len(set(names)) < len(names) or not all(map(is_name, names)):
        return []
    return [dict(zip(names, values, strict=True))]


def _parts(text: str) -> list[str]:
    """What commas, "and" or the labels of parts stand between; numbered ones as equations, whatever the figures."""
    first = _FIRST_PART.match(text)
    if first:
        text = _NEXT_PARTS[first[1]].sub(",", text)
    pieces = [piece.strip() for piece in split_top(text, "," + AND) if piece.strip()]
    if first is None or first[1] not in "i1":
        return pieces
    numbered = [part for piece in pieces if (part := _NUMBERED.fullmatch(piece))]
    is_numbered = len(numbered) == len(pieces) > 1
    return [f"\\text{{{_ROMAN.get(part[1], part[1])}}}={part[2]}" for part in numbered] if is_numbered else pieces


def _labelled(piece: str) -> str:
    """``A: 3``, ``(a) 3`` and ``I. 5`` as equations; ``A:B=1`` is one already."""
    if "=" in piece:
        return piece
    if label := _LABEL.fullmatch(piece):
        return f"{label[1]}={label[2]}"
    if label := _WORD_LABEL.fullmatch(piece):
        return f"\\text{{{label[1] or label[3]}}}={label[2] or label[4]}"
    return piece


def _is_tuple(text: str) -> bool:
    return len(_elements(text)) > 1


def _elements(text: str) -> list[str]:
    content = inside(text, "(", ")")
    if content is None:
        return []
    parts = [part.strip() for part in split_top(content, ",")]
    return parts if all(parts) else []
