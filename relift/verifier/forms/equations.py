"""Equations: side by side, up to a factor that is not zero, or by the value of what their left side names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from relift.verifier.forms.finding import DIFFERENT, EQUAL, Finding, all_of, any_of, refused
from relift.verifier.forms.inequalities import proportional, same_term
from relift.verifier.forms.names import is_name, letters_of, renamed, same_name
from relift.verifier.forms.shapes import Equation, Several, Shape, Single, parse
from relift.verifier.spelling.brackets import in_bars
from relift.verifier.values.exact import Value
from relift.verifier.values.polynomials import without_negative_powers
from relift.verifier.values.reader import read

Compare = Callable[[Shape, Shape], Finding]

_OPERATOR = re.compile(r"\\(?:lim|sum|prod|int|iint|oint)(?![A-Za-z])")
_FUNCTION = re.compile(r"[A-Za-z]'*(?:_\{[^{}]*\})?'*\([^()]*(?:\([^()]*\)[^()]*)*\)(?:_\{[^{}]*\})?")
_ANGLE = re.compile(
    r"\\(?:sin|cos|tan|cot|sec|csc)(?:\^\{2\})?\s*(?:\\angle\s*)?\(?(?:[A-Z]{1,3}|\\(?:alpha|beta|gamma|theta|phi|varphi)\s*)\)?"
)
_LENGTHS = re.compile(r"(?:\\frac\{[A-Z]{1,2}\}\{[A-Z]{1,2}\}|[A-Z]{1,2}(?::|/)[A-Z]{1,2})")
_TOKEN = re.compile(r"\\[A-Za-z]+|\d+(?:\.\d+)?|[^\s{}()\[\]]")
_COORDINATES = frozenset("xyz")


def with_equation(gold: Equation, answer: Shape, compare: Compare) -> Finding:
    if (values := _values_in_bars(gold)) is not None:
        if isinstance(answer, Equation) and answer.name == values.name:
            answer = parse(answer.value)
        if isinstance(answer, Several):
            return compare(values, answer)
    if isinstance(answer, Equation):
        return _two_equations(gold, answer, compare)
    value = value_of(gold)
    if value is not None:
        return compare(parse(value), answer)
    if len(gold.sides) == 2 and all(map(_is_constant, gold.sides)):
        return compare(parse(gold.sides[1]), answer)  # `\\sin 30^{\\circ} = \\frac{1}{2}` by its value
    solved = _as_curve(gold, answer)
    return solved or refused("not an equation")


def _values_in_bars(gold: Equation) -> Several | None:
    """Both values of ``|x| = 3``; None of ``|AB| = 3``, which is a length, and of complex numbers."""
    content = in_bars(gold.sides[0])
    bound = read(gold.sides[-1])
    if content is None or len(content) != 1 or content in "zw" or len(gold.sides) != 2 or bound is None:
        return None
    if bound.rational is None or bound.rational <= 0:
        return None
    ends = (gold.sides[1], f"-({gold.sides[1]})")
    return Several("list", tuple(Single(end) for end in ends), is_worded=True, name=content)


def value_of(equation: Equation) -> str | None:
    """The value that the equation gives to a name, or to a quantity such as ``\\cos A`` or ``f(1)+f(2)``.

    None for what has to be solved first: ``x^2 = 4`` is not 4. Of ``V = \\pi r^2 h = 36\\pi`` it is the last side.
    """
    if equation.name:
        return equation.value
    *others, last = equation.sides
    if len(equation.sides) > 2:
        return last if is_name(equation.sides[0]) and _is_constant(last) and not _contradict(others[1:], last) else None
    for side, value in (equation.sides, equation.sides[::-1]):
        if is_quantity(side) and _is_constant(value):
            return None if _is_zero(value) and not _is_applied(side) else value  # `a^2 + b = 0` is a condition
    return None


def is_quantity(text: str) -> bool:
    """Whether an expression names something that has a value of its own, rather than an unknown to be solved for."""
    text = text.strip()
    if is_name(text) or _is_applied(text) or _LENGTHS.fullmatch(text):
        return True
    if (content := in_bars(text)) is not None:
        return len(letters_of(content)) > 1
    letters = letters_of(text) - {"e", "i", "\\pi"}
    indexed = len(set(re.findall(r"[A-Za-z]_\{[^{}]*\}", text)))
    if any(sign in text for sign in ("\\text", "\\pm", ",", "\\ldots")):
        return False
    applied = _FUNCTION.findall(text)
    if indexed > 1 or len(applied) > 1:
        return True
    return len(letters) > 1 and not (letters & _COORDINATES) and read(text) is not None


def _is_applied(text: str) -> bool:
    return bool(_FUNCTION.fullmatch(text) or _ANGLE.fullmatch(text) or _OPERATOR.match(text))


def _is_zero(text: str) -> bool:
    value = read(text)
    return value is not None and not value.top


def _is_constant(text: str) -> bool:
    value = read(text)
    if value is not None:
        return not value.has_letters
    shape = parse(text)
    value = read(shape.text) if isinstance(shape, Single) else None
    return value is not None and not value.has_letters


def _contradict(others: list[str], last: str) -> bool:
    """Whether a number in the middle of the chain is another than the last one: ``x = 3 = 4``."""
    return any(_is_constant(other) and not same_term(other, last).is_equal for other in others)


def _two_equations(gold: Equation, answer: Equation, compare: Compare) -> Finding:  # noqa: PLR0911  (a rule a line)
    if len(gold.sides) != len(answer.sides):
        return refused("not as many equal signs as the gold has")
    if len(gold.sides) > 2:
        return all_of([same_term(*pair) for pair in zip(gold.sides, answer.sides, strict=True)])
    is_named = bool(gold.name and answer.name)
    if is_named:
        value = renamed(gold.name, answer.name, gold.value, answer.value)
        if value is not None or same_name(gold.name, answer.name):
            return compare(parse(gold.value), parse(answer.value if value is None else value))
    first, second = _zero_form(gold), _zero_form(answer)
    if first is not None and second is not None and first.has_letters and second.has_letters:
        if not first.top or not second.top:
            return refused("an identity")
        if proportional(first, second) is not None:
            return EQUAL
        if first.is_complete and second.is_complete and not _has_roots(first, second):
            return DIFFERENT
    if is_named:
        return refused("another name")  # a parser would compare the right sides alone
    return _side_by_side(gold, answer)


def _side_by_side(gold: Equation, answer: Equation) -> Finding:
    """Each side of the one the same as a side of the other; of numbers also written with the same signs."""
    left, right = answer.sides
    return any_of(
        [
            all_of([_same_side(*pair) for pair in zip(gold.sides, sides, strict=True)])
            for sides in ((left, right), (right, left))
        ]
    )


def _same_side(gold: str, answer: str) -> Finding:
    finding = same_term(gold, answer)
    if finding.is_equal is False or (_is_number(gold) and _is_number(answer)):
        return finding
    letters = letters_of(gold) - {"e", "i", "\\pi"}
    if letters and letters == letters_of(answer) - {"e", "i", "\\pi"}:
        return finding
    # Of `\sin 90^{\circ} = 1` and `\tan 45^{\circ} = 1` the sides have equal values, and still they say other things.
    return finding if Counter(_TOKEN.findall(gold)) == Counter(_TOKEN.findall(answer)) else DIFFERENT


def _is_number(text: str) -> bool:
    value = read(text)
    return value is not None and (value.rational is not None or (value.is_complete and not value.has_letters))


def _as_curve(gold: Equation, answer: Shape) -> Finding | None:
    """``xy = 6`` by ``6/x``: an equation of x and y in its form solved for y."""
    if len(gold.sides) != 2 or not isinstance(answer, Single) or answer.unit is not None:
        return None
    if not any(letters_of(side) == {"x", "y"} for side in ("".join(gold.sides),)) or letters_of(answer.text) != {"x"}:
        return None
    first, second = _zero_form(gold), _zero_form(Equation(("y", answer.text)))
    if first is None or second is None or _has_roots(first, second):
        return None
    return EQUAL if proportional(first, second) is not None else None


def _has_roots(*values: Value) -> bool:
    names = (name for value in values for monomial in value.top for name, _ in monomial)
    return any(name.isdigit() or not name[-1].isalpha() for name in names)


def _zero_form(equation: Equation) -> Value | None:
    """Left minus right, denominators cleared; None where a side is not read."""
    left, right = read(equation.sides[0]), read(equation.sides[1])
    if left is None or right is None:
        return None
    difference = left.plus(right.negative())
    return replace(difference, top=without_negative_powers(difference.top))
