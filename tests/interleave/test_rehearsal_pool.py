import json

from relift import randomness
from relift.interleave.rehearsal import RehearsalPool


def pool_of(*questions, draws=2, capacity=3):
    pool = RehearsalPool(draws=draws, capacity=capacity)
    pool.add((question, f"d-{question}", f"={question}") for question in questions)
    return pool


def drawn(pool, seed=0, **kwargs):
    return pool.draw(randomness.generator(seed, "test"), **kwargs)


def test_what_was_taught_last_is_kept_once_for_each_question():
    pool = pool_of("a", "b", "c")
    pool.add([("a", "other", "=1"), ("d", "d-d", "=d")])
    assert pool.to_json() == {"c": ["d-c", "=c"], "a": ["other", "=1"], "d": ["d-d", "=d"]}


def test_a_draw_has_nobody_twice_and_none_of_those_taught_just_now():
    pool = pool_of("a", "b", "c")
    for seed in range(20):
        found = drawn(pool, seed, without=["b"])
        assert sorted(found) == [("a", "d-a", "=a"), ("c", "d-c", "=c")]
    assert len({tuple(drawn(pool, seed)) for seed in range(20)}) > 1


def test_where_fewer_were_taught_all_are_drawn_and_at_the_start_none():
    assert drawn(pool_of()) == []
    assert drawn(pool_of("a")) == [("a", "d-a", "=a")]


def test_nothing_is_kept_where_nothing_is_rehearsed():
    assert pool_of("a", draws=0).to_json() == {}


def test_a_restored_pool_draws_as_the_one_it_was_taken_of():
    pool, other = pool_of("a", "b", "c"), pool_of()
    other.restore(json.loads(json.dumps(pool.to_json())))
    assert drawn(other, 3) == drawn(pool, 3)
