"""What kind of thing a normalised answer is: one value, several, a region of the line, an equation, a matrix.

Only the outer form is looked at here; ``agreement`` compares two forms and lets the gold decide what may stand for it.
Whatever stands in the text is kept in its shape: letters, conditions, domains and which value belongs to which name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from relift.verifier.forms.conditions import Conditions, parse_conditions, set_name, split_conditions
from relift.verifier.forms.connectors import AND, OR, marked, parts_of
from relift.verifier.forms.inequalities import RELATION, Relation, parse_relation, region_of
from relift.verifier.forms.names import is_name
from relift.verifier.forms.regions import Piece, Region, intersected, parse_region, united, whole_numbers
from relift.verifier.forms.solutions import Rows, solutions
from relift.verifier.forms.units import Unit, split_leading_unit, split_unit
from relift.verifier.spelling.brackets import inside, split_top, steps
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
    is_logical: str = ""
    """``\\land`` or ``\\lor`` where one of them joins statements, or values of several names: they say different things."""


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


@dataclass(frozen=True, slots=True)
class Solutions:
    """Values of several names at once; ``rows`` hold a value for each of ``names``."""

    names: tuple[str, ...]
    rows: tuple[tuple[Shape, ...], ...]


@dataclass(frozen=True, slots=True)
class Given:
    """What holds under conditions, e.g. core ``2k`` and conditions ``(("k", "Z"),)``."""

    core: str
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Described:
    """A set by a condition that is no region: binder ``(x,y)`` and condition ``x>0``."""

    binder: str
    condition: str


Shape = Single | Several | Equation | Relation | Region | Matrix | Solutions | Given | Described

_MEMBER = re.compile(r"(.+?)\\in(?![A-Za-z])(.+)")
_MEMBER_FIRST = re.compile(r"([^,;]+?)\\in(?![A-Za-z])([^,;]+)[,;](.+)")
_MATRIX = re.compile(r"\\begin\{([pbBv]?matrix|smallmatrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}", re.DOTALL)
_APPROXIMATION = re.compile(r"(.+?)\\approx\s*([+-]?\d{1,20}(?:\.\d{1,20})?)")
_REGION = re.compile(r"\\(?:cup|setminus)(?![A-Za-z])|\\mathbb\{R\}|^\\text\{all real numbers\}$")
_COMPARED = re.compile(r"\\[lg]e(?![A-Za-z])|[<>]")
_ARROWS = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|to|rightarrow|iff|Leftrightarrow)(?![A-Za-z])")


def parse(text: str, depth: int = 0) -> Shape:
    """The form of a normalised text; a ``Single`` where it has none of the others."""
    text = text.strip()
    if depth < MAX_DEPTH:
        core, conditions = split_conditions(text)
        if conditions:
            return _given(core, conditions, depth)
    if "\\cup" in text and all(_COMPARED.search(part) for part in text.split("\\cup")):
        text = text.replace("\\cup", "\\lor")  # `x<1 \cup x>2`
    connected = marked(text)
    if depth == 0 and (rows := solutions(connected)) is not None:
        return _solutions(rows)
    parts = parts_of(connected, AND + OR)
    if len(parts) > 1:
        return _listed(parts, connected, text, depth) or Single(text)
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
            return Equation(sides)
    return _bracketed(text, depth) or _signed_pair(text, depth) or _single(text)


def _given(core: str, conditions: Conditions, depth: int) -> Shape:
    """A condition on the letter of an inequality makes it a region of whole numbers; any other is kept as it is."""
    shape = parse(core, depth + 1)
    if isinstance(shape, Region) and len(conditions) == 1 and conditions[0][0] == shape.variable:
        return _restricted(shape, conditions[0][1]) or Given(core, conditions)
    return Given(core, conditions)


def _restricted(region: Region, domain: str) -> Shape | None:
    """The numbers of a region that are of this domain; None where that is no region and no list of numbers."""
    if domain in ("R", "any"):
        return region
    if domain not in ("Z", "N", "N0", "Z+"):
        return None
    found = whole_numbers(region, domain)
    if not isinstance(found, list):
        return found
    return Several("set", tuple(Single(str(whole)) for whole in found))


def _solutions(rows: Rows) -> Solutions:
    return Solutions(rows.names, tuple(tuple(parse(value, 1) for value in row) for row in rows.values))


def _listed(parts: list[str], connected: str, text: str, depth: int) -> Shape | None:
    """A list, or the region that several inequalities are together; None where a part is missing."""
    is_worded = AND in connected or OR in connected
    if is_worded:
        parts = [part for part in parts if part.strip()]  # `19, 46, and 82`
    if depth >= MAX_DEPTH or not 0 < len(parts) <= MAX_ITEMS or not all(part.strip() for part in parts):
        return None
    items = [parse(part, depth + 1) for part in parts]
    if len(items) == 1:
        return None if is_worded else items[0]  # `3 or`
    regions = _all_regions(items)
    if regions and (together := _together(regions, is_or=OR in connected)) is not None:
        return together
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
    return Several("list", tuple(flat), is_worded=is_worded, name=name, is_logical=_logical(flat, connected, text))


def _logical(items: list[Shape], connected: str, text: str) -> str:
    """Whether it matters that the items are joined by "and", or by "or"."""
    names = {item.name for item in items if isinstance(item, Equation)}
    is_statement = len(names) > 1 or any(
        isinstance(item, Relation) or (isinstance(item, Region) and item.variable) for item in items
    )
    if not is_statement and "\\land" not in text and "\\lor" not in text:
        return ""
    kinds = [sign for mark, sign in ((AND, "\\land"), (OR, "\\lor")) if mark in connected]
    return "".join(kinds) or "\\land"


def _all_regions(items: list[Shape]) -> list[Region]:
    """Inequalities in one letter, ``x = 1`` among them as its point; none where anything else is there."""
    variables = {item.variable for item in items if isinstance(item, Region)} - {""}
    if len(variables) != 1:
        return []
    regions = []
    for item in items:
        if isinstance(item, Equation) and item.name in variables and (value := read(item.value)) is not None:
            item = Region((Piece(value, True, value, True),), item.name)
        if not isinstance(item, Region):
            return []
        regions.append(item)
    return regions


def _together(regions: list[Region], *, is_or: bool) -> Shape | None:
    variable = next(region.variable for region in regions if region.variable)
    if any(region.domain for region in regions):
        return None
    if not is_or:  # `x>1, x<3` narrows; what would narrow to nothing was meant as "or"
        common: Region | None = regions[0]
        for region in regions[1:]:
            common = common and intersected(common, region)
        if common and common.pieces:
            return replace(common, variable=variable)
    return united([piece for region in regions for piece in region.pieces], variable)


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
    parts = parts_of(content)
    if len(parts) == 1 and (text[0] == "(" or _is_named_value(content)):
        return parse(content, depth + 1) if content.strip() else None
    if pair := _signed_pair(text, depth):
        return pair
    if brackets == "[]" and len(parts) == 2 and (region := parse_region(text)):
        return region
    if not all(part.strip() for part in parts) or len(parts) > MAX_ITEMS:
        return None
    return Several("tuple", tuple(parse(part, depth + 1) for part in parts), brackets)


def _is_named_value(content: str) -> bool:
    name, sign, _ = content.partition("=")
    return bool(sign) and is_name(name.strip())


def _set(content: str, depth: int) -> Shape | None:
    """A set of elements, or what ``\\{x : x > 1\\}`` describes."""
    if not content.strip():
        return Several("set", ())
    bar = next((place for place, token, level in steps(content) if level == 0 and token in ":|" and place), 0)
    if bar and (described := _described(content[:bar].strip(), content[bar + 1 :].strip(), depth)):
        return described
    parts = parts_of(content)
    if not all(part.strip() for part in parts) or len(parts) > MAX_ITEMS:
        return None
    items: list[Shape] = []
    for part in parts:
        item = parse(part, depth + 1)
        items += item.items if isinstance(item, Several) and item.kind == "list" else [item]
    return Several("set", tuple(items))


def _described(binder: str, condition: str, depth: int) -> Shape | None:
    """``\\{x \\in \\mathbb{Z} | x > 1\\}``: what the condition says of the letter before the bar, and only of that letter."""
    if not binder or not condition:
        return None
    if conditions := parse_conditions(condition):
        return Given(f"\\{{{binder}\\}}", conditions)  # \{2k | k \in Z\}
    domain = "R"
    if member := _MEMBER.fullmatch(binder):
        binder, domain = member[1].strip(), set_name(member[2])
    elif (member := _MEMBER_FIRST.fullmatch(condition)) and member[1].strip() == binder:
        domain, condition = set_name(member[2]), member[3]
    shape = parse(condition, depth + 1)
    if isinstance(shape, Region) and shape.variable == binder and not shape.domain:
        found = _restricted(shape, domain)
        if found is not None:
            return replace(found, variable="") if isinstance(found, Region) else found
    if domain == "R" and isinstance(shape, Equation) and shape.name == binder:
        return parse(f"\\{{{shape.value}\\}}", depth + 1)
    if domain == "R" and isinstance(shape, Given) and (named := _named(parse(shape.core, depth + 1))) and named[0] == binder:
        return Given(f"\\{{{named[1]}\\}}", shape.conditions)  # \{x | x = 2k, k \in Z\}
    return Described(binder, condition) if domain == "R" else Described(f"{binder}\\in {domain or member}", condition)


def _named(shape: Shape) -> tuple[str, str]:
    return (shape.name, shape.value) if isinstance(shape, Equation) and shape.name else ("", "")


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
