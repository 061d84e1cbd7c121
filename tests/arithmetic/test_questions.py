from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from relift.arithmetic import FAMILIES, arithmetic_questions, held_out_questions, is_held_out
from relift.arithmetic.questions import exact_counts
from relift.errors import ConfigError, DataError
from relift.records import question_id

DEMO = ["add3", "sub3", "mul1", "add5", "prod2", "mulsub", "mul2", "eq", "par"]


def test_the_mix_is_met_exactly():
    questions = arithmetic_questions({"add3": 0.29, "prod2": 0.6, "mul2": 0.11}, 300, seed=0)
    assert Counter(question.source for question in questions) == {
        "arithmetic/add3": 87,
        "arithmetic/prod2": 180,
        "arithmetic/mul2": 33,
    }


def test_what_is_left_over_goes_to_the_largest_remainder():
    assert exact_counts({"add3": 1, "sub3": 1, "mul1": 1}, 8) == {"add3": 3, "sub3": 3, "mul1": 2}
    assert exact_counts({"add3": 5, "eq": 3, "par": 0}, 4) == {"add3": 3, "eq": 1, "par": 0}  # 2.5 and 1.5 by order
    assert exact_counts({"add3": 1.0, "eq": 2.8}, 10) == {"add3": 3, "eq": 7}  # 2.63 and 7.37


def test_a_seed_gives_the_same_questions_again_and_another_seed_others():
    mix = {"add5": 1.0, "eq": 1.0}
    first = arithmetic_questions(mix, 100, seed=3)
    assert first == arithmetic_questions(mix, 100, seed=3)
    assert len({question.id for question in first} & {q.id for q in arithmetic_questions(mix, 100, seed=4)}) < 20


def test_a_question_carries_its_id_answer_and_worked_chain():
    for question in arithmetic_questions({"par": 1}, 50, seed=0):
        assert question.id == question_id(question.text)
        assert question.source == "arithmetic/par"
        assert question.solution is not None and question.solution.endswith(f"={question.answer}")


def test_families_are_shuffled_together():
    sources = [question.source for question in arithmetic_questions({"add3": 1, "eq": 1}, 200, seed=0)]
    assert 60 < sum(a != b for a, b in pairwise(sources)) < 140


def test_no_question_comes_twice_while_there_is_another():
    for name in DEMO:
        ids = [question.id for question in arithmetic_questions({name: 1}, 450, seed=0)]
        assert len(set(ids)) == 450, name


def test_an_exhausted_family_gives_each_question_about_as_often():
    times = Counter(question.id for question in arithmetic_questions({"mul2": 1}, 2000, seed=0))
    assert set(times.values()) == {2, 3}


def test_training_and_held_out_questions_are_disjoint_for_any_seeds():
    training = {q.id for q in arithmetic_questions(dict.fromkeys(DEMO, 1.0), 6000, seed=0)}
    held_out = {q.id for q in held_out_questions(DEMO, 400, seed=1)}
    assert len(held_out) == 9 * 400
    assert not training & held_out
    assert not any(map(is_held_out, training)) and all(map(is_held_out, held_out))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_four_hundred_questions_to_measure_on(name):
    assert len({question.id for question in held_out_questions([name], 400, seed=0)}) == 400


def test_fewer_held_out_questions_are_the_first_of_more():
    assert held_out_questions(["eq"], 10, seed=0) == held_out_questions(["eq"], 50, seed=0)[:10]


def test_asking_for_more_held_out_questions_than_there_are_says_how_many_there_are():
    with pytest.raises(DataError, match=r"'mul1' has \d{3} held-out questions, 5000 were asked"):
        held_out_questions(["mul1"], 5000, seed=0)


def test_the_split_follows_the_id_alone():
    assert is_held_out("00000000ffffffff", 0.01) and not is_held_out("ffffffff00000000", 0.99)
    assert is_held_out("3fffffff00000000", 0.25) and not is_held_out("4000000000000000", 0.25)


def test_a_misspelt_family_in_a_mix_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'ad3'.*add3"):
        arithmetic_questions({"ad3": 1.0}, 10, seed=0)
    with pytest.raises(ValueError, match=r"'ad3'.*add3"):
        held_out_questions(["ad3"], 10, seed=0)


@pytest.mark.parametrize("mix", [{}, {"eq": 0.0}, {"eq": -1.0, "par": 2.0}, {"eq": float("nan")}])
def test_a_mix_without_usable_weights_is_refused(mix):
    with pytest.raises(ConfigError, match="weight"):
        arithmetic_questions(mix, 10, seed=0)
