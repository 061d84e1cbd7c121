"""Answers with conditions on their letters, and the letters that may be called anything: parameters, constants."""

from __future__ import annotations

import re
from collections.abc import Callable

from relift.verifier.forms.conditions import UNSAID, Conditions, split_conditions
from relift.verifier.forms.finding import NOT_DECIDED, Finding, refused
from relift.verifier.forms.inequalities import Relation
from relift.verifier.forms.names import letters_of, with_letters
from relift.verifier.forms.regions import Region
from relift.verifier.forms.shapes import Given, Shape, parse
from relift.verifier.spelling.brackets import split_top

Compare = Callable[[Shape, Shape], Finding]

_COUNTING = frozenset("klmn")
_PARAMETERS = frozenset("jklmnpqrstuvz")
_CONSTANTS = frozenset(("C", "K", "C_{0}", "C_{1}"))
"""What a gold calls a constant that may have any value."""
_CONSTANT_NAMES = _CONSTANTS | frozenset(("c", "k", "A", "B", "D", "M", "c_{1}", "C_{2}"))
_FULL_TURN = re.compile(r"\\pi(?![A-Za-z])|\^\{\\circ\}")


def with_conditions(gold: Shape, answer: Shape, compare: Compare) -> Finding:
    """Where at least one has any. Both must have the same ones, up to the names of their letters."""
    if isinstance(gold, Given) and isinstance(answer, Given):
        return _both(gold, answer, compare)
    given = gold if isinstance(gold, Given) else answer
    assert isinstance(given, Given)
    core = parse(given.core)
    if isinstance(core, (Region, Relation)) or not all(
        _goes_without_saying(given.core, *one) for one in given.conditions
    ):
        return refused("a condition that only one of the two has")
    return compare(core, answer) if given is gold else compare(gold, core)


def _both(gold: Given, answer: Given, compare: Compare) -> Finding:
    domains, others = ([domain for _, domain in one.conditions] for one in (gold, answer))
    if domains != others:
        return refused("another domain")
    names = {other: one for (one, _), (other, _) in zip(gold.conditions, answer.conditions, strict=True)}
    taken = letters_of(answer.core) - set(names)
    if any(one != other and one in taken for other, one in names.items()):
        return NOT_DECIDED
    return compare(parse(gold.core), parse(with_letters(answer.core, names)))


def _goes_without_saying(core: str, letter: str, domain: str) -> bool:
    """A whole number that counts the members of a family, the argument of a function, a constant, any real number."""
    if letter not in letters_of(core):
        return False
    if domain in UNSAID or re.search(rf"[A-Za-z]\({re.escape(letter)}\)", core.split("=", maxsplit=1)[0]):
        return True
    return domain == "R" and letter not in _COUNTING


def with_same_parameter(gold: str, answer: str) -> str | None:
    """The answer with its free letter called as in the gold; None where there is no such letter on both sides.

    ``x = n\\pi`` for ``x = k\\pi`` (whole turns), ``(3t, 5t)`` (t an integer) for ``(a,b) = (3x,5x)``, ``x^2+K`` for
    ``x^2+C``. A letter that the question may have given is none: ``2k+1`` is not ``2n+1``.
    """
    core, conditions = split_conditions(gold)
    other_core, other_conditions = split_conditions(answer)
    if conditions and other_conditions:
        return None
    (names, value), (_, other_value) = _sides(core), _sides(other_core)
    if renamed := _with_same_constant(value, other_value):
        return renamed
    letters, others = (letters_of(one) - {"e", "i", "\\pi"} for one in (value, other_value))
    (letter, other) = (next(iter(one), "") for one in (letters - others, others - letters))
    if len(letters - others) != 1 or len(others - letters) != 1:
        return None
    if not _is_free(letter, conditions, value, names) or not _is_free(other, other_conditions, other_value, "(,)"):
        return None
    if not (conditions or other_conditions) and not all(_FULL_TURN.search(one) for one in (value, other_value)):
        return None
    return with_letters(answer, {other: letter})


def _is_free(letter: str, conditions: Conditions, value: str, names: str) -> bool:
    """Whether a letter only runs through the whole numbers, as is said or as whole turns and tuples of names show."""
    if conditions:
        return conditions == ((letter, "Z"),)
    if _FULL_TURN.search(value):
        return letter in _COUNTING
    return names.startswith("(") and "," in names and letter in _PARAMETERS | {"x"}


def _sides(core: str) -> tuple[str, str]:
    """The names on the left of ``name = value``, and what stands on the right."""
    sides = split_top(core, "=")
    return (sides[0].strip(), sides[1].strip()) if len(sides) == 2 else ("", core)


def _with_same_constant(gold: str, answer: str) -> str | None:
    constants, others = (_added_letters(one) for one in (gold, answer))
    if len(constants) != 1 or len(others) != 1 or constants == others:
        return None
    (constant,), (other,) = constants, others
    if constant not in _CONSTANTS or other not in _CONSTANT_NAMES:
        return None
    if any(text.count(one[0]) > 1 for text in (gold, answer) for one in (constant, other)):
        return None  # it stands elsewhere as well, so it is not free
    return answer.replace(other, constant)


def _added_letters(text: str) -> list[str]:
    """Terms of a sum that are nothing but a letter of the kind that names constants."""
    terms = [term.strip() for term in split_top(text.replace("-", "+"), "+")]
    return [term for term in terms if term in _CONSTANT_NAMES] if len(terms) > 1 else []
