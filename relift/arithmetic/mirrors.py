"""Which questions are the same but for the order of terms and factors.

``7*8?`` and ``8*7?`` are two questions with two ids, and whoever has seen one has as good as seen the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from relift.records import Question

_TERMS = re.compile(r"[+-]?(?:\([^()]*\)|[^()+-])+")
_FACTORS = re.compile(r"\([^()]*\)|[^*]+")


def canonical(question: str) -> str:
    """The question with terms, factors and sides of an equation in one order; mirrors of it come out the same.

    By commutativity of sums and products alone: nothing is computed and no bracket is opened. A term keeps its sign, so
    ``71-12-57?`` mirrors ``71-57-12?``, not ``12-71-57?``. A minus in front stays there: that ``-12+50?`` is ``50-12?``
    is what the family negsum asks.
    """
    return "=".join(sorted(_sum(side) for side in question.removesuffix("?").split("=")))


def _sum(expression: str) -> str:
    """``4*20-7+(5+3)*2`` -> ``+(+3+5)*2+20*4-7``: each term behind its sign."""
    if expression.startswith("-"):
        first, *rest = _TERMS.findall(expression)
        return f"-{_product(first[1:])}{_sum(''.join(rest))}"
    terms = (term if term[0] in "+-" else f"+{term}" for term in _TERMS.findall(expression))
    return "".join(sorted(term[0] + _product(term[1:]) for term in terms))


def _product(term: str) -> str:
    factors = (f"({_sum(factor[1:-1])})" if factor[0] == "(" else factor for factor in _FACTORS.findall(term))
    return "*".join(sorted(factors))


def mirrors_of(questions: Iterable[Question]) -> frozenset[str]:
    """The canonical forms of some questions: whatever has one of these is one of them, or its mirror."""
    return frozenset(canonical(question.text) for question in questions)
