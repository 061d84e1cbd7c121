import dataclasses
import json

from interleave_groups import group

from relift.interleave import OwnCorrect, OwnCorrectPool
from relift.records import FinishReason, Status

WRONG, CORRECT, TRUNCATED = Status.WRONG, Status.CORRECT, Status.TRUNCATED


def names(pool):
    return [(entry.question_id, entry.iteration) for entry in pool.entries]


def test_each_solved_question_gives_its_first_correct_rollout():
    pool = OwnCorrectPool(8)
    pool.add([group("a", [WRONG, WRONG, CORRECT, CORRECT]), group("b", [WRONG] * 4)], 5)
    assert pool.entries == (OwnCorrect(iteration=5, question_id="a", sample=2, token_ids=(2, 1)),)


def test_a_correct_rollout_that_did_not_end_by_itself_is_passed_over():
    cut = group("a", [CORRECT, CORRECT])
    first = cut.rollouts[0]
    completion = dataclasses.replace(first.completion, finish_reason=FinishReason.LENGTH)
    cut = dataclasses.replace(cut, rollouts=(dataclasses.replace(first, completion=completion), cut.rollouts[1]))
    pool = OwnCorrectPool(8)
    pool.add([cut], 0)
    assert [entry.sample for entry in pool.entries] == [1]


def test_the_pool_holds_the_questions_solved_last_once_each():
    pool = OwnCorrectPool(3)
    pool.add([group(name, [CORRECT]) for name in "abc"], 0)
    pool.add([group("a", [CORRECT])], 1)
    assert names(pool) == [("b", 0), ("c", 0), ("a", 1)]
    pool.add([group("d", [CORRECT]), group("e", [CORRECT])], 2)
    assert names(pool) == [("a", 1), ("d", 2), ("e", 2)]


def test_a_restored_pool_equals_the_one_it_was_taken_of():
    pool = OwnCorrectPool(3)
    pool.add([group(name, [CORRECT]) for name in "abc"], 0)
    text = json.dumps([entry.to_json() for entry in pool.snapshot()])
    restored = OwnCorrectPool(3, [OwnCorrect.from_json(entry) for entry in json.loads(text)])
    for both in (pool, restored):
        both.add([group("d", [CORRECT])], 1)
    assert restored.entries == pool.entries
