"""The verifier that a configuration asks for."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from relift.errors import ConfigError
from relift.verifier.extraction import AnswerForm
from relift.verifier.kinds import Comparison
from relift.verifier.verifier import HARD_LIMIT_SECONDS, Verifier

if TYPE_CHECKING:
    from relift.config import QuestionsConfig, RunConfig


def make_verifier(
    config: RunConfig, *, think_opened: bool, form: AnswerForm | None = None, workers: int | None = None
) -> Verifier:
    """Of a run's configuration; ``form`` instead of the one in it, ``workers`` as the verifier takes it.

    ``think_opened``: whether prompts end inside the reasoning, which the student knows (``Student.thinks``).
    """
    return verifier_of(config.questions, think_opened=think_opened, form=form, workers=workers)


def verifier_of(
    questions: QuestionsConfig, *, think_opened: bool, form: AnswerForm | None = None, workers: int | None = None
) -> Verifier:
    """The same of that part of a configuration which decides on it."""
    return Verifier(
        form or questions.answer_form,
        comparison=Comparison(
            kind=questions.answer_kind,
            tolerance=exactly(questions.answer_tolerance or 0.0),
            function=questions.answer_callable or "",
            rounded_golds=questions.rounded_golds,
        ),
        hard_limit_seconds=questions.answer_seconds if questions.answer_kind == "callable" else HARD_LIMIT_SECONDS,
        workers=workers,
        thinking=questions.thinking,
        think_opened=think_opened,
        final_answer=questions.final_answer,
    )


def require_comparison(config: RunConfig, verifier: Verifier) -> None:
    """Raises ConfigError where nothing can be compared: a user's function that cannot be imported or called."""
    if fault := verifier.fault():
        raise ConfigError(
            f"questions.answer_callable={config.questions.answer_callable!r} cannot be used: {fault}. Modules are "
            f"looked for where this process finds its own, and in the working directory."
        )


def exactly(tolerance: float) -> str:
    """The number as it was written: 0.01 is one hundredth, not the nearest binary fraction."""
    return str(Fraction(repr(tolerance)))
