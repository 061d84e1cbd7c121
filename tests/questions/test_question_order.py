"""Which questions are asked when."""

from __future__ import annotations

import pytest

from relift.errors import DataError
from relift.questions import QuestionOrder
from relift.records import Question, question_id


def questions(count: int) -> list[Question]:
    return [Question(id=question_id(f"{n}?"), text=f"{n}?", answer=str(n), source="test") for n in range(count)]


def test_a_batch_is_a_function_of_seed_and_iteration():
    asked = questions(50)
    forwards = QuestionOrder(asked, 8, seed=3)
    batches = [forwards.batch(i) for i in range(20)]
    backwards = QuestionOrder(asked, 8, seed=3)
    assert [backwards.batch(i) for i in reversed(range(20))] == batches[::-1]
    assert QuestionOrder(asked, 8, seed=4).batch(0) != batches[0]


@pytest.mark.parametrize(("count", "size"), [(10, 4), (7, 7), (9, 8), (64, 16), (5, 3)])
def test_every_question_comes_once_an_epoch_and_no_batch_holds_one_twice(count, size):
    asked = questions(count)
    order = QuestionOrder(asked, size, seed=0)
    stream = []
    for iteration in range(6 * count):
        batch = order.batch(iteration)
        assert len({q.id for q in batch}) == size
        stream += batch
    everything = {q.id for q in asked}
    for start in range(0, len(stream) - count, count):
        assert {q.id for q in stream[start : start + count]} == everything


def test_epochs_are_shuffled_differently():
    order = QuestionOrder(questions(64), 32, seed=0)
    first, second = ([q.text for i in (e, e + 1) for q in order.batch(i)] for e in (0, 2))
    assert sorted(first) == sorted(second)
    assert first != second


def test_iterations_per_epoch_counts_whole_batches():
    assert QuestionOrder(questions(10), 4, seed=0).iterations_per_epoch == 2
    assert QuestionOrder(questions(4), 4, seed=0).iterations_per_epoch == 1


def test_fewer_questions_than_a_batch_are_refused_with_what_to_change():
    with pytest.raises(DataError, match=r"3 training questions .*questions\.batch_size=4"):
        QuestionOrder(questions(3), 4, seed=0)
    with pytest.raises(DataError, match="comes twice"):
        QuestionOrder(questions(3) + questions(1), 2, seed=0)
