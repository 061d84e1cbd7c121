"""What kind of thing a normalised answer is: one value, several, a region of the line, an equation, a matrix.

Only the outer form is looked at here; ``agreement`` compares two forms and lets the gold decide what may stand for it.
Whatever stands in the text is kept in its shape: letters, conditions, domains and which value belongs to which name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from relift.verifier.forms.conditions import Conditions, parse_conditions, set_name, split_conditions
from relift.verifier.forms.connectors import AND, OR, marked, parts_of
from relift.verifier.forms.inequalities import RELATION, Relation, parse_relation, region_of
from relift.verifier.forms.names import is_name
from relift.verifier.forms.regions import (
    Piece,
    Region,
    intersected,
    parse_region,
    united,
    whole_numbers,
    without_region,
)
from relift.verifier.forms.solutions import Rows, solutions
from relift.verifier.forms.units import Unit, split_leading_unit, split_unit
from relift.verifier.spelling.brackets import inside, split_top, steps
from relift.verifier.values.polynomials import UNIT
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
    """``\\land`` or ``\\lor`` where one of them joins statements, or values of several names."""


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


@dataclass(frozen=True, slots=True)
class Residue:
    """``x \\equiv 3 \\pmod{7}``, or without its name."""

    name: str
    value: str
    modulus: str


Shape = Single | Several | Equation | Relation | Region | Matrix | Solutions | Given | Described | Residue

_MEMBER = re.compile(r"(.+?)\\in(?![A-Za-z])(.+)")
_MEMBER_FIRST = re.compile(r"([^,;]+?)\\in(?![A-Za-z])([^,;]+)[,;](.+)")
_SCALED = re.compile(r"(-|[^&=,]{1,60}?)(\\begin\{[pb]matrix\}.*\\end\{[pb]matrix\})", re.DOTALL)
_BASIS = re.compile(r"(?:\\vec|\\hat|\\overrightarrow)?\{([ijk])\}")
_RESIDUE = re.compile(r"(?:([^=<>]+?)(?:\\equiv(?![A-Za-z])|=))?([^=<>,\\]+|[^=<>,]*?)\\pmod\{([^{}]+)\}")
_MATRIX = re.compile(r"\\begin\{([pbBv]?matrix|smallmatrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}", re.DOTALL)
_APPROXIMATION = re.compile(r"(.+?)\\approx\s*([+-]?\d{1,20}(?:\.\d{1,20})?)")
_MINUS = re.compile(r"(.+?)(?:\\setminus(?![A-Za-z])|-(?=\\\{))(.+)")
_REGION = re.compile(r"\\(?:cup|setminus)(?![A-Za-z])|\\mathbb\{R\}|^\\text\{all real numbers\}$")
_COMPARED = re.compile(r"\\[lg]e(?![A-Za-z])|[<>]")
_LIMITS = re.compile(r"\\lim(?:sup|inf)?\s*_\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
_ARROWS = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|to|rightarrow|iff|Leftrightarrow)(?![A-Za-z])")


def parse(text: str, depth: int = 0) -> Shape:  # noqa: PLR0911  (a rule a line)
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
    if (residue := _RESIDUE.fullmatch(text)) is not None:
        return Residue(*((part or "").strip() for part in residue.groups()))
    if RELATION.search(text):
        relation = parse_relation(text)
        if relation and relation.signs == ("\\approx",) and is_name(relation.terms[0]) and "." in relation.terms[1]:
            return Equation(relation.terms)
        return Single(text) if relation is None else region_of(relation) or relation
    if "=" in text and not _ARROWS.search(_LIMITS.sub("", text)):
        sides = tuple(side.strip() for side in split_top(text, "="))
        if len(sides) > 1 and all(sides):
            return Equation(sides)
    return _bracketed(text, depth) or _signed_pair(text, depth) or _basis(text) or _single(text)


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
    if regions and (together := _together(regions, is_or=OR in connected, is_and=AND in connected)) is not None:
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
        if isinstance(item, Region):
            regions.append(item)
        elif isinstance(item, Equation) and item.name in variables and (value := read(item.value)) is not None:
            regions.append(Region((Piece(value, True, value, True),), item.name))
        else:
            return []
    return regions


def _together(regions: list[Region], *, is_or: bool, is_and: bool) -> Shape | None:
    variable = next(region.variable for region in regions if region.variable)
    if any(region.domain for region in regions) or (is_or and is_and):
        return None  # which of "and" and "or" binds is not followed
    if not is_or:  # `x>1, x<3` narrows; what would narrow to nothing was meant as "or" where nothing says "and"
        common: Region | None = regions[0]
        for region in regions[1:]:
            common = common and intersected(common, region)
        if common and (common.pieces or is_and):
            return replace(common, variable=variable)
    return united([piece for region in regions for piece in region.pieces], variable)


def _bracketed(text: str, depth: int) -> Shape | None:  # noqa: PLR0911  (a rule a line)
    if text == "\\emptyset":
        return Several("set", ())
    if (matrix := _matrix(text)) is not None or depth >= MAX_DEPTH or not text:
        return matrix
    if (content := inside(text, "\\{", "\\}")) is not None:
        return _set(content, depth)
    if (without := _difference(text, depth)) is not None:
        return without
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


def _difference(text: str, depth: int) -> Region | None:
    """``\\mathbb{R} \\setminus (-2,2)``, ``\\{x | x<3\\} - \\{1\\}``."""
    found = _MINUS.fullmatch(text)
    if found is None:
        return None
    sides = [parse_region(side) or _as_region(parse(side, depth + 1)) for side in (found[1].strip(), found[2].strip())]
    return None if sides[0] is None or sides[1] is None else without_region(sides[0], sides[1])


def _as_region(shape: Shape) -> Region | None:
    return shape if isinstance(shape, Region) and not shape.domain else None


def _is_named_value(content: str) -> bool:
    name, sign, _ = content.partition("=")
    return bool(sign) and is_name(name.strip())


def _set(content: str, depth: int) -> Shape | None:
    """A set of elements, or what ``\\{x : x > 1\\}`` describes."""
    if not content.strip():
        return Several("set", ())
    bar = next((position for position, token, level in steps(content) if level == 0 and token in ":|" and position), 0)
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
    """``\\{x \\in \\mathbb{Z} | x > 1\\}``: what the condition says of the letter before the bar."""
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
    if (
        domain == "R"
        and isinstance(shape, Given)
        and (named := _named(parse(shape.core, depth + 1)))
        and named[0] == binder
    ):
        return Given(f"\\{{{named[1]}\\}}", shape.conditions)  # \{x | x = 2k, k \in Z\}
    return Described(binder, condition) if domain == "R" else Described(f"{binder}\\in {domain or member}", condition)


def _named(shape: Shape) -> tuple[str, str]:
    return (shape.name, shape.value) if isinstance(shape, Equation) and shape.name else ("", "")


def _nested_rows(text: str) -> tuple[tuple[str, ...], ...]:
    """``[[1,2],[3,4]]``; none where not every element is such a row."""
    rows = [inside(row.strip(), "[", "]") for row in split_top(text[1:-1], ",")] if text.endswith("]]") else []
    cells = tuple(tuple(cell.strip() for cell in split_top(row, ",")) for row in rows if row is not None)
    return cells if len(cells) == len(rows) and len({len(row) for row in cells}) == 1 and all(map(all, cells)) else ()


def _basis(text: str) -> Several | None:
    """``2\\vec{i}-3\\vec{j}`` as the tuple of its coordinates; a mark tells i from the root of -1."""
    marked_letters = _BASIS.findall(text)
    if (
        "{i}" not in text
        or "{j}" not in text
        or len(marked_letters) > 3
        or len(set(marked_letters)) < len(marked_letters)
    ):
        return None
    value = read(_BASIS.sub(lambda one: f"\\vec{{{one[1]}}}", text))
    if value is None or value.bottom != UNIT or not value.is_complete:
        return None
    names = [((f"\\vec{{{name}}}", Fraction(1)),) for name in "ijk"]
    if not set(value.top) <= set(names):
        return None
    found = [value.top.get(name, Fraction(0)) for name in names[: 3 if "{k}" in text else 2]]
    return Several("tuple", tuple(Single(str(one)) for one in found), "()")


def _signed_pair(text: str, depth: int) -> Shape | None:
    """The two values of ``1 \\pm \\sqrt{2}``, or pairs of ``(3, \\pm 4)``; ``\\mp`` takes the other sign."""
    if "\\pm" not in text:
        text = text.replace("\\mp", "\\pm")
    if text.count("\\pm") in (2, 3) and inside(text, "(", ")") and "\\mp" not in text and depth < MAX_DEPTH:
        return _all_signs(text, depth)
    if text.count("\\pm") != 1 or depth >= MAX_DEPTH:
        return None
    signs = (("+", "-"), ("-", "+"))
    values = [text.replace("\\pm", plus).replace("\\mp", minus).strip().removeprefix("+") for plus, minus in signs]
    return Several("list", tuple(parse(value, depth + 1) for value in values), is_worded=True)


def _all_signs(text: str, depth: int) -> Shape | None:
    """Every pair of ``(\\pm 1, \\pm 2)``, each sign by itself; None where one element has two of them."""
    parts = split_top(text[1:-1], ",")
    if any(part.count("\\pm") > 1 for part in parts):
        return None
    texts = [text]
    while "\\pm" in texts[0]:
        texts = [one.replace("\\pm", sign, 1) for one in texts for sign in ("", "-")]
    return Several("list", tuple(parse(one, depth + 1) for one in texts), is_worded=True)


def _rounded(text: str, depth: int) -> Shape | None:
    """A number and, after ``\\approx``, its decimal; None where that is not its decimal or nothing of the kind."""
    found = _APPROXIMATION.fullmatch(text)
    if found is None or depth >= MAX_DEPTH:
        return None
    exact = parse(found[1], depth + 1)
    single = parse(exact.value, depth + 1) if isinstance(exact, Equation) and exact.name else exact
    value = read(single.text) if isinstance(single, Single) else None
    position = None if value is None or value.has_letters or value.sample is None else value.sample.position
    decimals = len(found[2].partition(".")[2])
    rounded, step = abs(float(found[2])), 10.0**-decimals
    if position is None or position * float(found[2]) < 0 or not -0.501 * step <= abs(position) - rounded < step:
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
    if text.startswith("[[") and (nested := _nested_rows(text)):
        return Matrix(nested)
    if (scaled := _SCALED.fullmatch(text)) and (one := _matrix(scaled[2])) is not None:
        factor = "-1" if scaled[1] == "-" else scaled[1]
        is_read = read(factor) is not None
        return Matrix(tuple(tuple(f"({factor})({cell})" for cell in row) for row in one.rows)) if is_read else None
    found = _MATRIX.fullmatch(text)
    if found is None or found[1] == "vmatrix" or "\\begin" in found[2] or "\\hline" in found[2]:
        return None
    rows = [row for row in re.split(r"\\\\", found[2]) if row.strip()]
    return Matrix(tuple(tuple(cell.strip() for cell in split_top(row, "&")) for row in rows))
