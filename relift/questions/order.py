"""Which questions are asked in which iteration: a function of (seed, iteration)."""

from __future__ import annotations

from collections.abc import Sequence

from relift.errors import DataError
from relift.randomness import generator
from relift.records import Question


class QuestionOrder:
    """Epoch after epoch of all questions, each shuffled by (seed, epoch), cut into batches.

    Iteration i takes the positions from ``i * batch_size`` on, so a batch may span two epochs. Where it does, the
    second epoch starts with questions that the first did not end with: no batch holds a question twice.
    """

    def __init__(self, questions: Sequence[Question], batch_size: int, seed: int) -> None:
        """DataError where there are fewer questions than a batch, or one comes twice."""
        if len(questions) < batch_size:
            raise DataError(
                f"{len(questions)} training questions do not fill a batch of questions.batch_size={batch_size}, and a "
                f"batch never asks a question twice. Lower questions.batch_size (and rl.questions_per_update), or "
                f"give more questions (questions.count, questions.path, a smaller questions.held_out_share)."
            )
        if len({question.id for question in questions}) < len(questions):
            raise DataError("A training question comes twice; fold it into one with its number of repeats.")
        self._questions = tuple(questions)
        self._batch_size = batch_size
        self._seed = seed
        self._epochs: list[list[int]] = []

    @property
    def iterations_per_epoch(self) -> int:
        """Whole batches in one pass over the questions; at least 1."""
        return len(self._questions) // self._batch_size

    def batch(self, iteration: int) -> tuple[Question, ...]:
        """The ``batch_size`` questions of that iteration, all different."""
        first = iteration * self._batch_size
        return tuple(self._at(position) for position in range(first, first + self._batch_size))

    def _at(self, position: int) -> Question:
        epoch, offset = divmod(position, len(self._questions))
        while len(self._epochs) <= epoch:
            self._epochs.append(self._shuffled(len(self._epochs)))
        return self._questions[self._epochs[epoch][offset]]

    def _shuffled(self, epoch: int) -> list[int]:
        count = len(self._questions)
        order = [int(index) for index in generator(self._seed, "order", epoch).permutation(count)]
        started = epoch * count % self._batch_size  # questions of the batch in progress, from the epoch before
        if not started:
            return order
        taken = set(self._epochs[epoch - 1][-started:])
        head = [index for index in order if index not in taken][: self._batch_size - started]
        in_head = set(head)
        return head + [index for index in order if index not in in_head]
