"""The teacher that needs no model: the solution column of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relift.config import QuestionsConfig
from relift.questions.solutions import render_solution
from relift.records import Demonstration, Question, demonstration_id
from relift.teacher.admission import admit
from relift.verifier import Verifier

if TYPE_CHECKING:
    from relift.policy.student import Student

SOURCE = "dataset"
NO_SOLUTION = "no solution in the dataset"


class DatasetTeacher:
    """Offers each question's own solution, in the student's answer form; free and at once."""

    def __init__(self, config: QuestionsConfig, *, verifier: Verifier, student: Student, max_tokens: int) -> None:
        """``max_tokens``: of a demonstration, by the student's tokenizer with end-of-sequence."""
        self._config = config
        self._verifier = verifier
        self._student = student
        self._max_tokens = max_tokens

    def demonstrations(self, questions: Sequence[Question]) -> list[Demonstration]:
        """One for each question, in order, admitted or not.

        A question without a solution gives a refused one with empty text, so that the ledger can say why the question
        was never taught instead of staying silent.
        """
        return [self._demonstration(question) for question in questions]

    def _demonstration(self, question: Question) -> Demonstration:
        if question.solution is None:
            return Demonstration(
                id=demonstration_id(question.id, ""),
                question_id=question.id,
                text="",
                source=SOURCE,
                tokens=0,
                refusal=NO_SOLUTION,
            )
        return admit(
            question,
            render_solution(question, self._config),
            source=SOURCE,
            verifier=self._verifier,
            write=self._student.write,
            max_tokens=self._max_tokens,
        )
