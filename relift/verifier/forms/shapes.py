"""What kind of thing a normalised answer is: one value, several, a region of the line, an equation, a matrix.

Only the outer form is looked at here; ``agreement`` compares two forms and lets the gold decide what may stand for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from relift.verifier.forms.inequalities import RELATION, Relation, parse_relation, region_of
from relift.verifier.forms.names import is_name
from relift.verifier.forms.regions import Region, intersected, parse_region, united
from relift.verifier.forms.units import Unit, split_leading_unit, split_unit
from relift.verifier.spelling.brackets import inside, split_top
from relift.verifier.values.reader import read

MAX_ITEMS = 1_000
MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Single:
    """One value, e.g. text ``10`` with unit metres."""

    text: str
    unit: Unit | None = None
    is_percent: bool = False
    rounded: str = ""
    """What the text itself gives as its decimal: ``0.577`` of ``\\frac{\\sqrt{3}}{3} \\approx 0.577``."""


@dataclass(frozen=True, slots=True)
class Several:
    """Values side by side; a tuple keeps its order, a list is a tuple or a set whose brackets were left out."""

    kind: Literal["list", "set", "tuple"]
    items: tuple[Shape, ...]
    brackets: str = ""
    is_worded: bool = False
    """With "and" or "or" in between, so it is no tuple."""
    name: str = ""
    """``x`` of ``x = 1, 2``."""


@dataclass(frozen=True, slots=True)
class Equation:
    """``sides`` are two but for a chain ``a = b = c``."""

    sides: tuple[str, ...]

    @property
    def name(self) -> str:
        """The left side of ``name = value``, or the right one where only that is a name; empty otherwise."""
        if len(self.sides) != 2:
            return ""
        return next((side for side in self.sides if is_name(side)), "")

    @property
    def value(self) -> str:
        return self.sides[1] if is_name(self.sides[0]) else self.sides[0]


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple[str, ...], ...]


Shape = Single | Several | Equation | Relation | Region | Matrix

_CONNECTOR = re.compile(r"\\text\{([^{}]*)\}|(?<![A-Za-z\\])(and|or)(?![A-Za-z])|\\(?:land|lor)(?![A-Za-z])")
_DECIMAL_COMMA = re.compile(r"^(\s*[+-]?\d+),(\d+\s*)$")
_AND, _OR = "\x01", "\x02"
_CONNECTORS = {"and": _AND, "land": _AND, "&": _AND, "or": _OR, "lor": _OR, "": ","}
_ENDS_IN_CONNECTOR = re.compile(r"([a-z]+),? (and|or)")
_MATRIX = re.compile(r"\\begin\{([pbBv]?matrix|smallmatrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}", re.DOTALL)
_APPROXIMATION = re.compile(r"(.+?)\\approx\s*([+-]?\d{1,20}(?:\.\d{1,20})?)")
_LETTERS_IN = r"\s*[A-Za-z](?:,[A-Za-z])*\s*\\in\s*(?:\\mathbb\{[ZNQ]\}|[ZN])(?:[\^_]\{[^{}]*\})?\s*"
_CONDITION = re.compile(rf"\s*(?:\\text\{{(?:where|for|with)\}})?{_LETTERS_IN}")
_CONDITION_BEHIND = re.compile(
    rf"\s*(?:\\text\{{(?:where|for|with)(?: (?:all|any|some))?\}}{_LETTERS_IN}|\({_LETTERS_IN}\))$"
)
_REGION = re.compile(r"\\(?:cup|setminus)(?![A-Za-z])|\\mathbb\{R\}|^\\text\{all real numbers\}$")
_COMPARED = re.compile(r"\\[lg]e(?![A-Za-z])|[<>]")
_ARROWS = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|to|rightarrow|iff|Leftrightarrow)(?![A-Za-z])")


def parse(text: str, depth: int = 0) -> Shape:
    """The form of a normalised text; a ``Single`` where it has none of the others."""
    text = _CONDITION_BEHIND.sub("", text.strip())  # `2k \text{ for } k \in \mathbb{Z}`
    if "\\cup" in text and all(_COMPARED.search(part) for part in text.split("\\cup")):
        text = text.replace("\\cup", "\\lor")  # `x<1 \cup x>2`
    marked = _CONNECTOR.sub(_marked, text)
    parts = _parts(marked, _AND + _OR)
    if len(parts) > 1:
        return _listed(parts, marked, text, depth) or Single(text)
    if text.startswith("\\{") and (found := _bracketed(text, depth)):
        return found
    if (found := _rounded(text, depth)) is not None:
        return found
    if RELATION.search(text):
        relation = parse_relation(text)
        return Single(text) if relation is None else region_of(relation) or relation
    if "=" in text and not _ARROWS.search(text):
        sides = tuple(side.strip() for side in split_top(text, "="))
        if len(sides) > 1 and all(sides):
            return (_by_name(sides) if depth == 0 else None) or Equation(sides)
    return _bracketed(text, depth) or _signed_pair(text, depth) or _single(text)


def _parts(text: str, connectors: str = "") -> list[str]:
    """What semicolons part, and otherwise commas; a comma between semicolons is a decimal one in ``1,5; 2``."""
    if len(split_top(text, ";")) == 1:
        return split_top(text, "," + connectors)
    return [_DECIMAL_COMMA.sub(r"\1.\2", part) for part in split_top(text, ";" + connectors)]


def _marked(found: re.Match[str]) -> str:
    word = found[1].strip(" ,").lower() if found[1] is not None else found[2] or found[0][1:]
    if words := _ENDS_IN_CONNECTOR.fullmatch(word):  # `\text{cm and }`
        return f"\\text{{{words[1]}}}{_CONNECTORS[words[2]]}"
    return _CONNECTORS.get(word, found[0])


def _listed(parts: list[str], marked: str, text: str, depth: int) -> Shape | None:
    """A list, or the region that several inequalities are together; None where a part is missing."""
    is_worded = _AND in marked or _OR in marked
    if is_worded:
        parts = [part for part in parts if part.strip()]  # `19, 46, and 82`
    if len(unconditional := [part for part in parts if not _CONDITION.fullmatch(part)]) == len(parts) - 1:
        parts = unconditional  # `2k, k \in \mathbb{Z}`
    if depth >= MAX_DEPTH or not 0 < len(parts) <= MAX_ITEMS or not all(part.strip() for part in parts):
        return None
    items = [parse(part, depth + 1) for part in parts]
    if len(items) == 1:
        return None if is_worded else items[0]  # `3 or`
    if all(isinstance(item, Region) for item in items) and any(
        item.variable for item in items if isinstance(item, Region)
    ):
        return _together([item for item in items if isinstance(item, Region)], is_or=_OR in marked)
    name = ""
    first = items[0]
    if (
        isinstance(first, Equation)
        and first.name
        and not any(isinstance(item, (Equation, Relation)) for item in items[1:])
    ):
        name, items[0] = first.name, parse(first.value, depth + 1)
    flat: list[Shape] = []
    for item in items:
        flat += item.items if isinstance(item, Several) and item.kind == "list" else [item]
    return Several("list", tuple(flat), is_worded=is_worded, name=name)


def _together(regions: list[Region], *, is_or: bool) -> Shape | None:
    variables = {region.variable for region in regions} - {""}
    if len(variables) > 1:
        return Several("list", tuple(regions))
    if not is_or:  # `x>1, x<3` narrows; what would narrow to nothing was meant as "or"
        common: Region | None = regions[0]
        for region in regions[1:]:
            common = common and intersected(common, region)
        if common and common.pieces:
            return replace(common, variable=variables.pop())
    return united([piece for region in regions for piece in region.pieces], variables.pop())


def _by_name(sides: tuple[str, ...]) -> Several | None:
    """``(x,y)=(1,2)`` as ``x=1, y=2``, so that ``(y,x)=(1,2)`` is another answer."""
    if len(sides) != 2:
        return None
    contents = [inside(side, "(", ")") for side in sides]
    names, values = ([] if content is None else split_top(content, ",") for content in contents)
    if len(names) < 2 or len(names) != len(values) or not all(is_name(name.strip()) for name in names):
        return None
    pairs = zip(names, values, strict=True)
    return Several("list", tuple(Equation((name.strip(), value.strip())) for name, value in pairs if value.strip()))


def _bracketed(text: str, depth: int) -> Shape | None:
    if text == "\\emptyset":
        return Several("set", ())
    if (matrix := _matrix(text)) is not None or depth >= MAX_DEPTH or not text:
        return matrix
    if (content := inside(text, "\\{", "\\}")) is not None:
        return _set(content, depth)
    if _REGION.search(text):
        return parse_region(text)
    for opening, closing, brackets in (("(", ")", "()"), ("\\langle", "\\rangle", "()"), ("[", "]", "[]")):
        if (content := inside(text, opening, closing)) is not None:
            return _in_brackets(text, content, brackets, depth)
    return parse_region(text) if text[0] in "([]" and text[-1] in ")][" else None


def _in_brackets(text: str, content: str, brackets: str, depth: int) -> Shape | None:
    """A tuple, a closed interval, or a value in brackets of its own."""
    parts = _parts(content)
    if len(parts) == 1 and text[0] == "(":
        return parse(content, depth + 1) if content.strip() else None
    if pair := _signed_pair(text, depth):
        return pair
    if brackets == "[]" and len(parts) == 2 and (region := parse_region(text)):
        return region
    if not all(part.strip() for part in parts) or len(parts) > MAX_ITEMS:
        return None
    return Several("tuple", tuple(parse(part, depth + 1) for part in parts), brackets)


def _set(content: str, depth: int) -> Shape | None:
    """A set of elements, or the region of ``\\{x : x > 1\\}``."""
    if not content.strip():
        return Several("set", ())
    for bar in (":", "|"):
        described = split_top(content, bar)
        if len(described) == 2:
            condition = parse(described[1], depth + 1)
            return replace(condition, variable="") if isinstance(condition, Region) else None
    parts = _parts(content)
    if not all(part.strip() for part in parts) or len(parts) > MAX_ITEMS:
        return None
    items: list[Shape] = []
    for part in parts:
        item = parse(part, depth + 1)
        items += item.items if isinstance(item, Several) and item.kind == "list" else [item]
    return Several("set", tuple(items))


def _signed_pair(text: str, depth: int) -> Shape | None:
    """The two values of ``1 \\pm \\sqrt{2}``, or pairs of ``(3, \\pm 4)``; ``\\mp`` takes the other sign."""
    if text.count("\\pm") != 1 or depth >= MAX_DEPTH:
        return None
    signs = (("+", "-"), ("-", "+"))
    values = [text.replace("\\pm", plus).replace("\\mp", minus).strip().removeprefix("+") for plus, minus in signs]
    return Several("list", tuple(parse(value, depth + 1) for value in values), is_worded=True)


def _rounded(text: str, depth: int) -> Shape | None:
    """A number and, after ``\\approx``, its decimal; None where that is not its decimal or nothing of the kind."""
    found = _APPROXIMATION.fullmatch(text)
    if found is None or depth >= MAX_DEPTH:
        return None
    exact = parse(found[1], depth + 1)
    single = parse(exact.value, depth + 1) if isinstance(exact, Equation) and exact.name else exact
    value = read(single.text) if isinstance(single, Single) else None
    place = None if value is None or value.has_letters or value.sample is None else value.sample.place
    places = len(found[2].partition(".")[2])
    rounded, step = abs(float(found[2])), 10.0**-places
    if place is None or place * float(found[2]) < 0 or not -0.501 * step <= abs(place) - rounded < step:
        return None
    return replace(single, rounded=found[2]) if isinstance(single, Single) else None


def _single(text: str) -> Single:
    body, unit = split_unit(text)
    if unit is None:
        body, unit = split_leading_unit(text)
    if body.endswith("\\%"):
        return Single(body[:-2].strip(), unit, is_percent=True)
    return Single(body, unit)


def _matrix(text: str) -> Matrix | None:
    """A matrix in any kind of brackets but those of a determinant."""
    while (content := inside(text, "(", ")") or inside(text, "[", "]")) and "\\begin" in content:
        text = content.strip()
    found = _MATRIX.fullmatch(text)
    if found is None or found[1] == "vmatrix" or "\\begin" in found[2] or "\\hline" in found[2]:
        return None
    rows = [row for row in re.split(r"\\\\", found[2]) if row.strip()]
    return Matrix(tuple(tuple(cell.strip() for cell in split_top(row, "&")) for row in rows))
