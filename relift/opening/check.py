"""Whether runs could begin, asked for many at once: what ``open_run`` checks before it takes a lock, and no weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from relift.config import RunConfig
from relift.errors import DataError
from relift.interleave import Interleaving, make_rule
from relift.opening.groundwork import Groundwork, groundwork
from relift.opening.questions import asked_questions, require_fit, require_solutions
from relift.opening.run import require_plugins
from relift.policy.vllm_install import require_engine
from relift.questions import QuestionSet
from relift.questions.spelling import spelling
from relift.teacher.connect import connect

MOST_LISTED = 5


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
        Interleaving(config, known={question.id for question in questions.training}, rule=rule)
        if (
            config.teaches
            and config.teacher.sources == ("dataset",)
            and not any(q.solution for q in questions.training)
        ):
            raise DataError(
                "the only teacher is the dataset (teacher.sources), and no training question has a solution there, so "
                "nothing could be taught: name questions.solution_column, or another teacher"
            )
        require_solutions(config, student, questions)
        if asks_teacher:
            connect(config, student, None, question=questions.training[0])


@contextmanager
def ground(config: RunConfig) -> Iterator[Ground]:
    """Raises a UserError for model files, dataset and golds, and for a benchmark that holds training questions."""
    with groundwork(config, "check", None) as work:
        questions = asked_questions(config, work.verifier, work.student)
        evaluation = config.evaluation
        if evaluation and evaluation.benchmarks:
            bare = config.model_copy(update={"evaluation": evaluation.model_copy(update={"benchmarks": ()})})
            _require_apart(questions, asked_questions(bare, work.verifier, work.student))
        try:
            yield Ground(work=work, questions=questions)
        finally:
            work.verifier.close()


def _require_apart(questions: QuestionSet, alone: QuestionSet) -> None:
    """A run leaves such questions out of the training and says so; a comparison is not to depend on it."""
    spellings = {spelling(question.text) for question in questions.benchmarks}
    both = [question for question in alone.training if spelling(question.text) in spellings]
    if both:
        listed = "\n".join(f"  {question.id}  {question.text[:100]!r}" for question in both[:MOST_LISTED])
        raise DataError(
            f"{len(both)} training questions stand in a benchmark too:\n{listed}\nWhat is trained on says nothing of "
            f"the rest. Take them out of the dataset (the ids are those of `relift show`)."
        )
