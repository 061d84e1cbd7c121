"""Whether runs could begin, asked for many at once: what ``open_run`` checks before it takes a lock, and no weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from relift.config import RunConfig
from relift.errors import DataError
from relift.interleave import Interleaving, make_rule
from relift.opening.groundwork import Groundwork, groundwork
from relift.opening.questions import asked_questions, require_fit, require_guidance, require_solutions, require_words
from relift.opening.run import require_plugins
from relift.policy.vllm_install import require_engine
from relift.questions import QuestionOrder, QuestionSet
from relift.teacher.connect import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What runs of the same model on the same questions have in common."""

    work: Groundwork
    questions: QuestionSet

    def require_runnable(self, config: RunConfig, *, asks_teacher: bool) -> None:
        """Raises a UserError for whatever ``open_run`` would refuse. ``asks_teacher``: an API is asked whether it is
        there, which costs an answer."""
        student, questions = self.work.student, self.questions
        require_engine(config)
        require_plugins(config, trains=True)
        rule = make_rule(config)
        require_fit(config, student, questions)
        QuestionOrder(questions.training, config.questions.batch_size, config.seed, config.sampling)
        Interleaving(config, known={question.id for question in questions.training}, rule=rule)
        if (
            config.needs_teachers
            and config.teacher.sources == ("dataset",)
            and not any(q.solution for q in questions.training)
        ):
            raise DataError(
                "the only teacher is the dataset (teacher.sources), and no training question has a solution there, so "
                "nothing could be taught: name questions.solution_column, or another teacher"
            )
        require_solutions(config, student, questions)
        require_words(config, student, questions)
        require_guidance(config, student, questions)
        if asks_teacher:
            connect(config, student, None, question=questions.training[0])


@contextmanager
def ground(config: RunConfig) -> Iterator[Ground]:
    """Raises a UserError for model files, dataset and golds, and for a benchmark that holds training questions.

    A run leaves these out of the training and says so; a comparison is to say itself that it does.
    """
    evaluation = config.evaluation
    if evaluation and "overlap" not in evaluation.model_fields_set:
        config = config.model_copy(update={"evaluation": evaluation.model_copy(update={"overlap": "refuse"})})
    with groundwork(config, "check", None) as work:
        questions = asked_questions(config, work.verifier, work.student)
        try:
            yield Ground(work=work, questions=questions)
        finally:
            work.verifier.close()
