"""Which questions are asked when."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from relift.config import SamplingConfig
from relift.errors import DataError
from relift.questions import Drawn, QuestionOrder
from relift.questions.history import History
from relift.randomness import generator
from relift.records import Band, Completion, FinishReason, Question, Rollout, RolloutGroup, Status, Verdict, question_id


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


def group(question: Question, *statuses: str, tokens: int = 1) -> RolloutGroup:
    stop = FinishReason.STOP
    completion = Completion(
        token_ids=(1,) * tokens, logprobs=(0.0,) * tokens, text="", finish_reason=stop, policy_version=0
    )
    rollouts = (
        Rollout(sample=n, completion=completion, verdict=Verdict(status=Status(status)), reward=None)
        for n, status in enumerate(statuses)
    )
    return RolloutGroup(question=question, rollouts=tuple(rollouts))


RIGHT, WRONG, MIXED = ("correct",) * 4, ("wrong",) * 4, ("correct", "wrong", "wrong", "correct")


def test_a_batch_is_the_slice_of_the_stream_that_it_was_before_the_order_had_a_position():
    count, size = 11, 4
    order, stream = QuestionOrder(questions(count), size, seed=5), list[int]()
    for epoch in range(12):
        shuffled = [int(n) for n in generator(5, "order", epoch).permutation(count)]
        begun = stream[len(stream) - len(stream) % size :]
        head = [n for n in shuffled if n not in begun][: size - len(begun)] if begun else []
        stream += head + [n for n in shuffled if n not in head]
    for iteration in range(30):
        asked = [int(question.answer) for question in order.batch(iteration)]
        assert asked == stream[iteration * size : (iteration + 1) * size]


def asked_with_refill(order: QuestionOrder, iteration: int, sizes: list[int]) -> Drawn:
    """All rounds of an iteration, which is over then."""
    drawn = order.first(iteration)
    for number, size in enumerate(sizes, start=1):
        more = order.refill(iteration, number, size, drawn)
        drawn = Drawn(questions=drawn.questions + more.questions, position=more.position)
    order.advance(iteration, drawn.position, [group(question, *MIXED) for question in drawn.questions])
    return drawn


def test_with_refill_the_next_iteration_goes_on_where_the_last_came_to_and_none_holds_a_question_twice():
    config = SamplingConfig.model_validate({"refill": {"cap": 3}})
    asked = questions(25)
    order, stream = QuestionOrder(asked, 8, seed=1, config=config), Counter[str]()
    for iteration in range(40):
        drawn = asked_with_refill(order, iteration, [[], [3], [8, 5], [8, 8]][iteration % 4])
        assert len({question.id for question in drawn.questions}) == len(drawn.questions)
        stream.update(question.id for question in drawn.questions)
        assert max(stream.values()) - min(stream[question.id] for question in asked) <= 2
    again = QuestionOrder(asked, 8, seed=1, config=config)
    again.restore(json.loads(json.dumps(order.to_json())))
    assert again.first(40) == order.first(40)
    with pytest.raises(DataError, match=r"23 training questions .*8 times sampling\.refill\.cap=3"):
        QuestionOrder(questions(23), 8, seed=1, config=config)


@pytest.mark.parametrize(
    ("groups", "band"),
    [
        ([], Band.UNSEEN),
        ([("timeout", "error")], Band.UNSEEN),
        ([WRONG], Band.NEVER),
        ([WRONG, RIGHT], Band.MID),
        ([("correct", "wrong", "wrong", "wrong", "wrong")], Band.LOW),  # (1 + 1) / (5 + 2) < 1/3
        ([("correct", "wrong", "wrong", "wrong")], Band.MID),  # 2 / 6
        ([("correct", "correct", "correct", "wrong")], Band.MID),  # 4 / 6
        ([("correct", "correct", "correct", "correct", "wrong")], Band.HIGH),
        ([WRONG, RIGHT, RIGHT], Band.ALWAYS),  # the newest two
        ([RIGHT, ("correct", "timeout", "timeout", "timeout")], Band.ALWAYS),
    ],
)
def test_the_band_of_a_question_is_found_from_what_was_graded_of_its_newest_groups(groups, band):
    history = History(SamplingConfig.model_validate({"pools": {"newest": 2}}))
    (question,) = questions(1)
    for iteration, statuses in enumerate(groups):
        history.add([group(question, *statuses)], iteration)
    assert history.band(question.id) is band


def test_pools_draw_in_proportion_to_the_weights_of_the_bands():
    weights = {"never": 1.0, "mid": 3.0, "always": 0.5, "unseen": 1.0}
    config, asked = SamplingConfig.model_validate({"pools": weights}), questions(30)
    order, drawn = QuestionOrder(asked, 1, seed=0, config=config), Counter[int]()
    statuses = {question.id: (WRONG, MIXED, RIGHT)[n % 3] for n, question in enumerate(asked)}
    order.advance(0, order.first(0).position, [group(question, *statuses[question.id]) for question in asked])
    for iteration in range(1, 3001):
        (question,) = order.batch(iteration)
        drawn[int(question.answer) % 3] += 1
        order.advance(iteration, order.first(iteration).position, [])
    assert [drawn[n] / 3000 for n in range(3)] == pytest.approx([1 / 4.5, 3 / 4.5, 0.5 / 4.5], abs=0.03)


@pytest.mark.parametrize(("per_token", "shares"), [(True, (6 / 11, 2 / 11, 3 / 11)), (False, (1 / 3, 1 / 3, 1 / 3))])
def test_of_two_that_teach_alike_the_one_of_fewer_tokens_is_drawn_sooner_and_an_unseen_one_counts_as_their_mean(
    per_token, shares
):
    config = SamplingConfig.model_validate({"pools": {"mid": 2.0, "unseen": 2.0, "per_token": per_token}})
    asked = questions(3)
    order, drawn = QuestionOrder(asked, 1, seed=0, config=config), Counter[str]()
    order.advance(0, order.first(0).position, [group(asked[0], *MIXED, tokens=1), group(asked[1], *MIXED, tokens=3)])
    for iteration in range(1, 3001):
        drawn.update(question.answer for question in order.batch(iteration))
        order.advance(iteration, order.first(iteration).position, [])
    assert [drawn[question.answer] / 3000 for question in asked] == pytest.approx(shares, abs=0.03)


def test_what_is_solved_twice_in_a_row_is_asked_no_more_but_for_revisits_and_comes_back_when_one_fails():
    config = SamplingConfig.model_validate({"retire": {"after": 2, "revisit_share": 0.25}})
    asked = questions(12)
    order = QuestionOrder(asked, 4, seed=0, config=config)
    easy, forgotten = {question.id for question in asked[:6]}, asked[0].id
    seen = list[list[str]]()
    for iteration in range(30):
        batch = order.batch(iteration)
        seen.append([question.id for question in batch])
        assert len(set(seen[-1])) == 4
        is_right = {q.id: q.id in easy and not (q.id == forgotten and iteration >= 10) for q in batch}
        order.advance(iteration, order.first(iteration).position, [
            group(question, *(RIGHT if is_right[question.id] else MIXED)) for question in batch
        ])  # fmt: skip
        again = QuestionOrder(asked, 4, seed=0, config=config)
        again.restore(json.loads(json.dumps(order.to_json())))
        order = again  # as after a kill
    late = seen[18:]
    revisited = [[name for name in batch if name in easy - {forgotten}] for batch in late]
    assert all(len(names) == 1 for names in revisited), "a quarter of each batch goes to what is retired"
    assert set(Counter(name for names in revisited for name in names).values()) <= {2, 3}, "in turn"
    times = Counter(name for batch in late for name in batch)
    assert times[forgotten] >= 4, "it failed and is asked as the others are"
    assert all(times[question.id] >= 4 for question in asked[6:])


def test_when_all_are_retired_the_batch_is_of_those_asked_longest_ago():
    config = SamplingConfig.model_validate({"retire": {"after": 1}})
    asked = questions(6)
    order = QuestionOrder(asked, 4, seed=0, config=config)
    order.advance(0, order.first(0).position, [group(question, *RIGHT) for question in asked[:3]])
    order.advance(1, order.first(1).position, [group(question, *RIGHT) for question in asked[3:]])
    assert {question.id for question in asked[:3]} < {question.id for question in order.batch(2)}


def test_fewer_questions_than_a_batch_are_refused_with_what_to_change():
    with pytest.raises(DataError, match=r"3 training questions .*questions\.batch_size=4"):
        QuestionOrder(questions(3), 4, seed=0)
    with pytest.raises(DataError, match="comes twice"):
        QuestionOrder(questions(3) + questions(1), 2, seed=0)
