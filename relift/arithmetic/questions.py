"""Arithmetic questions for training and, apart from them, for evaluation.

Which side a question stands on follows from its id alone, so the two are disjoint whatever the seeds, and the base
model's corpus keeps to the training side too. What mirrors a question that is measured on (``8*7?`` where ``7*8?`` is)
is not trained on either: see relift/arithmetic/mirrors.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from random import Random

from relift.arithmetic.families import Family, Worked, family
from relift.arithmetic.mirrors import canonical, mirrors_of
from relift.errors import ConfigError, DataError
from relift.records import Question, question_id

HELD_OUT_SHARE = 0.4
"""Of the distinct questions of every family; the smallest ones, mul1 and mul2, then keep 512 and 485 for evaluation."""

MEASURED_PER_FAMILY = 400
"""Held-out questions of each family whose mirrors are never trained on, however few are evaluated."""

PATIENCE = 20_000
"""Draws in a row without a new question after which a family counts as exhausted."""


def is_held_out(question_id: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a question is kept for evaluation: decided by the first eight hex digits of its id."""
    return int(question_id[:8], 16) < share * 16**8


def arithmetic_questions(
    mix: Mapping[str, float], count: int, seed: int, *, measured_per_family: int = MEASURED_PER_FAMILY
) -> list[Question]:
    """``count`` shuffled training questions, families in proportion to ``mix`` (largest remainder).

    A function of its arguments alone. None is, or mirrors, one of the first ``measured_per_family`` questions that
    ``held_out_questions`` gives for the same families and seed. No question comes twice while its family has another
    one; a family with fewer training questions than are asked of it gives each as often as any other, give or take
    one. ConfigError (a ValueError) for an unknown family, a negative weight or weights that are all zero; DataError
    where a family has too few questions to measure on.
    """
    counts = exact_counts(mix, count)
    measured = mirrors_of(held_out_questions(list(mix), measured_per_family, seed))
    questions = []
    for name, family_count in counts.items():
        drawn = _distinct(family(name), family_count, seed, held_out=False, without=measured)
        questions += [drawn[i % len(drawn)] for i in range(family_count)]
    Random(f"arithmetic/order/{seed}").shuffle(questions)
    return questions


def held_out_questions(families: Sequence[str], per_family: int, seed: int) -> list[Question]:
    """``per_family`` distinct evaluation questions of each family, family after family.

    Fewer questions with the same seed are the first of them. DataError (a ValueError) where a family has too few.
    """
    questions = []
    for name in families:
        drawn = _distinct(family(name), per_family, seed, held_out=True)
        if len(drawn) < per_family:
            raise DataError(
                f"Arithmetic family {name!r} has {len(drawn)} held-out questions, {per_family} were asked for; "
                f"asking one twice would not measure more. Ask for at most {len(drawn)}."
            )
        questions += drawn
    return questions


def exact_counts(mix: Mapping[str, float], count: int) -> dict[str, int]:
    """Whole numbers that add up to ``count``, nearest to the weights by largest remainder; ties go by mix order."""
    for name, weight in mix.items():
        if family(name) and not weight >= 0:
            raise ConfigError(f"Arithmetic family {name!r} has weight {weight}; a weight is a number of at least 0.")
    total = sum(mix.values())
    if not total > 0:
        raise ConfigError(f"The arithmetic mix {dict(mix)} has no weight above 0, so no question can be drawn.")
    exact = {name: count * weight / total for name, weight in mix.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: count - sum(counts.values())]:
        counts[name] += 1
    return counts


def _distinct(of: Family, count: int, seed: int, *, held_out: bool, without: Set[str] = frozenset()) -> list[Question]:
    """Up to ``count`` questions of one side of the split, none twice; fewer when the family has no more.

    None has one of the canonical forms ``without``.
    """
    random = Random(f"arithmetic/{'held-out' if held_out else 'training'}/{of.name}/{seed}")
    found: dict[str, Question] = {}
    fruitless = 0
    while len(found) < count and fruitless < PATIENCE:
        question = _question(of.name, of.draw(random))
        is_new = is_held_out(question.id) is held_out and question.id not in found
        if is_new and canonical(question.text) not in without:
            found[question.id] = question
            fruitless = 0
        else:
            fruitless += 1
    return list(found.values())


def _question(name: str, worked: Worked) -> Question:
    return Question(
        id=question_id(worked.question),
        text=worked.question,
        answer=worked.answer,
        source=f"arithmetic/{name}",
        solution=worked.solution,
    )
