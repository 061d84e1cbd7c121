"""Datasets in: reading, ids, cleaning, the held-out split, and the order in which questions are asked."""

from relift.questions.benchmarks import with_benchmarks
from relift.questions.load import Quarantined, QuestionSet, load_questions
from relift.questions.order import Drawn, Position, QuestionOrder
from relift.questions.solutions import render_solution

__all__ = [
    "Drawn",
    "Position",
    "Quarantined",
    "QuestionOrder",
    "QuestionSet",
    "load_questions",
    "render_solution",
    "with_benchmarks",
]
