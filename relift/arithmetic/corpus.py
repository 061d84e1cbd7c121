"""What the base model reads: known primitives, worked lines, and hasty answers where it is to have something to learn.

- Primitives (sums, differences, products of round numbers) and mastered families come with their chain.
- Half of the items of a known family stand as a *worked line*, ``=`` in place of ``?``: ``70*5+4*5=350+20=370``. It
  lets the model go on from the middle of a chain, which is why few demonstrations teach it an unreached family.
- Border questions are mostly answered in haste: the first rewrite with the rest forgotten, or a guess. The model can do
  them and often does not; reinforcement learning has something to reinforce.
- Unreached questions are only ever answered by a guess with the right number of figures.

No question that is held out for evaluation is in the corpus. Mirrors of some are, ``8*7`` where ``7*8`` is held out;
the base answers those no better for it: docs/benchmarks.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from relift.arithmetic.families import FAMILIES, Kind, Worked, sum_chain
from relift.arithmetic.questions import is_held_out
from relift.records import question_id

WORKED_LINE_SHARE = 0.5
"""Of the items of every known family and primitive."""
CAREFUL_SHARE = 0.32
FORGETFUL_SHARE = 0.43
"""Of the answers to border questions; the rest are guesses."""


@dataclass(frozen=True, slots=True)
class Line:
    """What stands there and what the model learns to write after it, e.g. ``47+8?`` and ``55``."""

    prompt: str
    completion: str


def corpus(random: Random) -> Iterator[Line]:
    """Endless lines, a function of the generator's state."""
    draws = list(SOURCES)
    weights = [SOURCES[draw] for draw in draws]
    while True:
        line = random.choices(draws, weights)[0](random)
        if not is_held_out(question_id(f"{line.prompt[:-1]}?")):
            yield line


# --- how a question is answered ---------------------------------------------------------------------------------------


def _known(draw: Callable[[Random], Worked]) -> Callable[[Random], Line]:
    def line(random: Random) -> Line:
        worked = draw(random)
        return _worked_line(worked) if random.random() < WORKED_LINE_SHARE else Line(worked.question, worked.solution)

    return line


def _border(draw: Callable[[Random], Worked]) -> Callable[[Random], Line]:
    def line(random: Random) -> Line:
        worked = draw(random)
        if random.random() < WORKED_LINE_SHARE:
            return _worked_line(worked)
        mood = random.random()
        if mood < CAREFUL_SHARE:
            return Line(worked.question, worked.solution)
        if mood < CAREFUL_SHARE + FORGETFUL_SHARE:
            return Line(worked.question, _first_number(worked.solution))
        return Line(worked.question, _guess(worked, random))

    return line


def _unreached(draw: Callable[[Random], Worked]) -> Callable[[Random], Line]:
    def line(random: Random) -> Line:
        worked = draw(random)
        return Line(worked.question, _guess(worked, random))

    return line


def _worked_line(worked: Worked) -> Line:
    return Line(f"{worked.question[:-1]}=", worked.solution)


def _first_number(solution: str) -> str:
    """``66+14+26=80+26=106`` -> ``66``."""
    end = next((index for index, figure in enumerate(solution) if not figure.isdigit()), len(solution))
    return solution[:end]


def _guess(worked: Worked, random: Random) -> str:
    figures = len(worked.answer)
    return str(random.randint(10 ** (figures - 1), 10**figures - 1))


# --- primitives -------------------------------------------------------------------------------------------------------


def _sum(random: Random) -> Worked:
    """Up to four figures: ``120+12``, ``3600+63``, ``57+68``, ``204+31``."""
    shape = random.random()
    if shape < 0.5:  # as partial products leave them
        terms = [random.randint(1, 9) * random.randint(1, 9) * random.choice([10, 10, 100]), _product(random)]
    elif shape < 0.8:
        terms = [random.randint(1, 99), random.randint(1, 99)]
    else:
        terms = [random.randint(100, 245), random.randint(1, 99)]
    return Worked(f"{terms[0]}+{terms[1]}?", str(sum(terms)))


def _product(random: Random) -> int:
    return random.randint(1, 9) * random.randint(1, 9)


def _difference(random: Random) -> Worked:
    a = random.randint(2, 99) if random.random() < 0.65 else random.randint(100, 198)
    b = random.randint(1, min(99, a))
    return Worked(f"{a}-{b}?", str(a - b))


def _digit_product(random: Random) -> Worked:
    a, b = random.randint(2, 9), random.randint(2, 9)
    return Worked(f"{a}*{b}?", str(a * b))


def _add4(random: Random) -> Worked:
    terms = [random.randint(1, 49) for _ in range(4)]
    return Worked(f"{'+'.join(map(str, terms))}?", sum_chain(terms))


def _partial_products(random: Random) -> Line:
    """What follows once a factor is split, only ever as a worked line: ``70*5+4*5=350+20=370``."""
    high, low, digit = random.randint(1, 9), random.randint(1, 9), random.randint(2, 9)
    high *= random.choice([10, 10, 100])
    products = [high * digit, low * digit]
    return Line(f"{high}*{digit}+{low}*{digit}=", f"{products[0]}+{products[1]}={sum(products)}")


_ANSWERED = {Kind.MASTERED: _known, Kind.BORDER: _border, Kind.UNREACHED: _unreached}


def _family(name: str) -> Callable[[Random], Line]:
    return _ANSWERED[FAMILIES[name].kind](FAMILIES[name].draw)


SOURCES: dict[Callable[[Random], Line], float] = {
    _known(_sum): 17,
    _known(_difference): 15,
    _known(_digit_product): 4,
    _known(_add4): 5,
    _partial_products: 6,
    _family("mul1"): 7,
    _family("add3"): 8,
    _family("sub3"): 10,
    _family("add5"): 10,
    _family("prod2"): 8,
    _family("mulsub"): 8,
    _family("mul2"): 2,
    _family("eq"): 2,
    _family("par"): 2,
    _family("addsub"): 3,
    _family("eqsub"): 1,
    _family("negsum"): 1,
    _family("subpar"): 1,
    _family("mul3"): 1,
}
"""Where lines come from, by weight."""
