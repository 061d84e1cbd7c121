"""Families of arithmetic questions, all in one notation.

A question is ``expression?``; its solution is a chain of rewrites joined by ``=``, and the answer is what stands after
the last ``=`` (the whole solution where it has none): ``47*6?`` -> ``40*6+7*6=240+42=282``. Since the notation is
shared, a family that the base model does not know needs one new first rewrite; every later one it knows already.

Ranges are wide, so that guessing fails: a one-digit answer would be right by luck once in ten tries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from relift.errors import ConfigError


class Kind(StrEnum):
    """What the committed base model makes of a family."""

    MASTERED = "mastered"
    """Solves it: more than nine questions in ten."""
    BORDER = "border"
    """Solves some rollouts of it: the ground of reinforcement learning."""
    UNREACHED = "unreached"
    """Solves next to none, though it knows every rewrite but the first."""


@dataclass(frozen=True, slots=True)
class Worked:
    """A question with its chain, e.g. ``47*6?`` and ``40*6+7*6=240+42=282``."""

    question: str
    solution: str

    @property
    def answer(self) -> str:
        return self.solution.rpartition("=")[2]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of question, e.g. name ``mul2``, kind unreached."""

    name: str
    kind: Kind
    draw: Callable[[Random], Worked]
    """One question; equal generators draw equal questions, and a question may be drawn again."""


def family(name: str) -> Family:
    """The family of that name; ConfigError (a ValueError) names the known ones where there is none."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise ConfigError(
            f"There is no arithmetic family {name!r}, so no question can be drawn from it. "
            f"Known families: {', '.join(FAMILIES)}."
        ) from None


# --- chains -----------------------------------------------------------------------------------------------------------


def sum_chain(terms: Sequence[int]) -> str:
    """Adds from the left, one rewrite for each sum: (41, 25, 14) -> ``66+14=80``."""
    steps = []
    total, rest = terms[0], list(terms[1:])
    while rest:
        total += rest.pop(0)
        steps.append("+".join(map(str, [total, *rest])))
    return "=".join(steps)


def split_product(factor: int, digit: int) -> str:
    """Multiplies place by place: (47, 6) -> ``40*6+7*6=240+42=282``; a round factor is known: (40, 6) -> ``240``."""
    parts = [int(figure) * 10**power for power, figure in reversed(list(enumerate(reversed(str(factor)))))]
    parts = [part for part in parts if part]
    if len(parts) == 1:
        return str(factor * digit)
    split = "+".join(f"{part}*{digit}" for part in parts)
    products = [part * digit for part in parts]
    return f"{split}={'+'.join(map(str, products))}={sum_chain(products)}"


# --- mastered ---------------------------------------------------------------------------------------------------------


def _parts(random: Random, count: int, total: int) -> list[int]:
    """``count`` positive numbers that add up to ``total``, every way to split it equally likely."""
    cuts = sorted(random.sample(range(1, total), count - 1))
    return [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]


def _add2(random: Random) -> Worked:
    a, b = random.randint(11, 99), random.randint(11, 99)
    return Worked(f"{a}+{b}?", str(a + b))


def _add3(random: Random) -> Worked:
    terms = _parts(random, 3, random.randint(20, 99))
    return Worked(f"{'+'.join(map(str, terms))}?", sum_chain(terms))


def _sub3(random: Random) -> Worked:
    first = random.randint(20, 99)
    rest, b, c = _parts(random, 3, first + 1)  # rest - 1 is the answer, which may be 0
    return Worked(f"{first}-{b}-{c}?", f"{first - b}-{c}={rest - 1}")


def _mul1(random: Random) -> Worked:
    """Two round numbers, with at most four zeros together: ``7*8``, ``70*8``, ``300*20``."""
    zeros = random.choice([(i, j) for i in range(5) for j in range(5 - i)])
    a, b = (random.randint(1, 9) * 10**power for power in zeros)
    return Worked(f"{a}*{b}?", str(a * b))


# --- border -----------------------------------------------------------------------------------------------------------


def _add5(random: Random) -> Worked:
    terms = [random.randint(1, 49) for _ in range(5)]
    return Worked(f"{'+'.join(map(str, terms))}?", sum_chain(terms))


def _prod2(random: Random) -> Worked:
    a, b, c, d = (random.randint(2, 9) for _ in range(4))
    a *= random.choice([10, 10, 100])
    return Worked(f"{a}*{b}+{c}*{d}?", f"{a * b}+{c * d}={a * b + c * d}")


def _mulsub(random: Random) -> Worked:
    """A product of at most 198 less a number of at most two digits: ``8*9-45``, ``40*3-67``."""
    while True:
        a, b = random.randint(2, 9) * random.choice([1, 10]), random.randint(2, 9)
        if a * b < 200:
            break
    c = random.randint(1, min(99, a * b - 1))
    return Worked(f"{a}*{b}-{c}?", f"{a * b}-{c}={a * b - c}")


def _addsub(random: Random) -> Worked:
    a, b = random.randint(11, 99), random.randint(11, 99)
    c = random.randint(11, min(99, a + b - 1))
    return Worked(f"{a}+{b}-{c}?", f"{a + b}-{c}={a + b - c}")


# --- unreached --------------------------------------------------------------------------------------------------------


def _mul2(random: Random) -> Worked:
    """Two figures other than 0, perhaps with a 0 between them, times a digit: ``47*6``, ``407*6``."""
    high, low, digit = random.randint(1, 9), random.randint(1, 9), random.randint(2, 9)
    factor = high * random.choice([10, 100]) + low
    return Worked(f"{factor}*{digit}?", split_product(factor, digit))


def _mul3(random: Random) -> Worked:
    factor = 100 * random.randint(1, 9) + 10 * random.randint(1, 9) + random.randint(1, 9)
    digit = random.randint(2, 9)
    return Worked(f"{factor}*{digit}?", split_product(factor, digit))


def _eq(random: Random) -> Worked:
    answer = random.randint(10, 98)  # every answer as likely as any other, so that none is worth guessing
    known = random.randint(1, 99 - answer)
    return Worked(f"x+{known}={answer + known}?", f"{answer + known}-{known}={answer}")


def _eqsub(random: Random) -> Worked:
    rest, taken = random.randint(11, 99), random.randint(11, 99)
    return Worked(f"x-{taken}={rest}?", f"{rest}+{taken}={rest + taken}")


def _negsum(random: Random) -> Worked:
    answer = random.randint(10, 98)
    taken = random.randint(1, 99 - answer)
    return Worked(f"-{taken}+{answer + taken}?", f"{answer + taken}-{taken}={answer}")


def _par(random: Random) -> Worked:
    total, digit = _two_figures(random), random.randint(2, 9)
    a = random.randint(1, total - 1)
    return Worked(f"({a}+{total - a})*{digit}?", f"{total}*{digit}={split_product(total, digit)}")


def _subpar(random: Random) -> Worked:
    rest, digit = _two_figures(random), random.randint(2, 9)
    taken = random.randint(1, 100 - rest)
    return Worked(f"({rest + taken}-{taken})*{digit}?", f"{rest}*{digit}={split_product(rest, digit)}")


def _two_figures(random: Random) -> int:
    """Between 11 and 99, no multiple of ten."""
    return 10 * random.randint(1, 9) + random.randint(1, 9)


FAMILIES: dict[str, Family] = {
    each.name: each
    for each in [
        Family("add3", Kind.MASTERED, _add3),
        Family("sub3", Kind.MASTERED, _sub3),
        Family("mul1", Kind.MASTERED, _mul1),
        Family("add5", Kind.BORDER, _add5),
        Family("prod2", Kind.BORDER, _prod2),
        Family("mulsub", Kind.BORDER, _mulsub),
        Family("mul2", Kind.UNREACHED, _mul2),
        Family("eq", Kind.UNREACHED, _eq),
        Family("par", Kind.UNREACHED, _par),
        # Not in the demo: ground on which nobody has tuned a recipe.
        Family("add2", Kind.MASTERED, _add2),
        Family("addsub", Kind.BORDER, _addsub),
        Family("eqsub", Kind.UNREACHED, _eqsub),
        Family("negsum", Kind.UNREACHED, _negsum),
        Family("subpar", Kind.UNREACHED, _subpar),
        Family("mul3", Kind.UNREACHED, _mul3),
    ]
}
