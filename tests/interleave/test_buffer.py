import json

import pytest

from relift.config import BufferConfig
from relift.interleave import BufferSnapshot, DemonstrationBuffer, LeavingReason


def names(batch):
    return [entry.question_id for entry in batch]


def take(buffer, count):
    """The oldest that wait."""
    return buffer.take(names(buffer.waiting)[:count])


def filled(count, config=None, *, iteration=0):
    buffer = DemonstrationBuffer(config or BufferConfig())
    for i in range(count):
        buffer.add(f"q{i}", f"d{i}", iteration)
    return buffer


def test_first_failed_first_taught_also_when_more_come_than_are_taken():
    buffer = DemonstrationBuffer(BufferConfig())
    taught = []
    for iteration in range(6):
        for i in range(5):
            buffer.add(f"q{iteration}.{i}", "d", iteration)
        batch = take(buffer, 2)
        buffer.used(batch)
        taught += names(batch)
    assert taught == [f"q{i // 5}.{i % 5}" for i in range(12)]
    assert len(buffer) == 30 - 12


def test_a_question_that_fails_in_three_epochs_waits_once():
    buffer = DemonstrationBuffer(BufferConfig())
    assert buffer.add("q", "first", 2)
    assert buffer.add("other", "d", 3)
    assert not buffer.add("q", "second", 12)
    assert not buffer.add("q", "third", 22)
    assert names(buffer.waiting) == ["q", "other"]
    entry = buffer.waiting[0]
    assert (entry.demonstration_id, entry.failures) == ("first", 3)
    assert (entry.first_iteration, entry.last_iteration) == (2, 22)


def test_any_of_those_that_wait_can_be_taken_once():
    buffer = filled(3)
    assert names(buffer.take(["q2", "q0"])) == ["q2", "q0"]
    assert names(buffer.waiting) == ["q1"]
    with pytest.raises(AssertionError, match="taken already"):
        buffer.take(["q1", "q0"])


def test_entries_leave_only_after_the_update_is_committed():
    buffer = filled(4)
    batch = take(buffer, 2)
    assert len(buffer.snapshot().waiting) == 4, "a crash before the commit must find them again"
    assert names(take(buffer, 2)) == ["q2", "q3"], "what is being taught is not handed out twice"
    buffer.used(batch)
    assert names(buffer.snapshot().waiting) == ["q2", "q3"]
    assert buffer.left[LeavingReason.USED] == 2


def test_a_batch_put_back_waits_in_its_old_position():
    buffer = filled(4)
    batch = take(buffer, 2)
    buffer.put_back(batch)
    assert names(buffer.waiting) == ["q0", "q1", "q2", "q3"]
    assert buffer.left[LeavingReason.USED] == 0


def test_a_taught_question_may_wait_again_at_the_end():
    buffer = filled(2)
    buffer.used(take(buffer, 1))
    assert buffer.add("q0", "d0", 9)
    assert names(buffer.waiting) == ["q1", "q0"]


def test_entries_expire_by_age_since_they_were_last_seen_unsolved():
    buffer = DemonstrationBuffer(BufferConfig(max_age=10))
    buffer.add("old", "d", 0)
    buffer.add("seen again", "d", 0)
    buffer.add("young", "d", 8)
    buffer.add("seen again", "d", 5)
    buffer.expire(10)
    assert names(buffer.waiting) == ["old", "seen again", "young"], "10 iterations old is not older than 10"
    buffer.expire(11)
    assert names(buffer.waiting) == ["seen again", "young"], "survivors stay, in order"
    assert buffer.left[LeavingReason.EXPIRED] == 1


def test_the_oldest_makes_room_when_the_buffer_is_full():
    buffer = filled(5, BufferConfig(capacity=3))
    assert names(buffer.waiting) == ["q2", "q3", "q4"]
    assert buffer.left[LeavingReason.EVICTED] == 2


def test_a_question_solved_meanwhile_waits_on_where_the_configuration_says_so():
    buffer = DemonstrationBuffer(BufferConfig(leave_when_solved=False))
    buffer.add("q0", "d0", iteration=0)
    assert not buffer.solved("q0")
    assert [entry.question_id for entry in take(buffer, 1)] == ["q0"]
    assert buffer.take_leavings() == ()


def test_a_question_solved_meanwhile_leaves_unless_it_is_being_taught():
    buffer = filled(3)
    batch = take(buffer, 1)
    assert buffer.solved("q1")
    assert not buffer.solved("q0"), "it is being taught"
    assert not buffer.solved("unknown")
    buffer.used(batch)
    assert dict(buffer.left) == {
        LeavingReason.USED: 1,
        LeavingReason.SOLVED_MEANWHILE: 1,
        LeavingReason.EXPIRED: 0,
        LeavingReason.EVICTED: 0,
        LeavingReason.RETIRED: 0,
    }
    assert [(d.question_id, d.reason) for d in buffer.take_leavings()] == [("q1", LeavingReason.SOLVED_MEANWHILE)]
    assert buffer.take_leavings() == (), "each is told once"


def test_a_question_taught_as_often_as_allowed_never_waits_again_not_even_after_a_resume():
    buffer = DemonstrationBuffer(BufferConfig(max_uses=2))
    for iteration in range(2):
        assert buffer.add("q", "d", iteration)
        assert buffer.is_retired("q") is False
        buffer.used(take(buffer, 1))
    assert buffer.is_retired("q")
    assert [(d.demonstration_id, d.reason) for d in buffer.take_leavings()] == [("d", LeavingReason.RETIRED)]
    again = DemonstrationBuffer(BufferConfig(max_uses=2), BufferSnapshot.from_json(buffer.snapshot().to_json()))
    assert not again.add("q", "d", 5)
    assert len(again) == 0
    assert again.add("another", "e", 5)


def test_a_restored_buffer_goes_on_like_the_uninterrupted_one():
    def go_on(buffer):
        for iteration in range(3, 9):
            buffer.add(f"late{iteration}", "d", iteration)
            buffer.add("q1", "d1", iteration)
            buffer.expire(iteration)
            if len(buffer) >= 3:
                buffer.used(take(buffer, 3))
        return buffer.snapshot()

    buffer = filled(7, BufferConfig(capacity=6, max_age=4), iteration=2)
    text = json.dumps(buffer.snapshot().to_json())
    restored = DemonstrationBuffer(BufferConfig(capacity=6, max_age=4), BufferSnapshot.from_json(json.loads(text)))
    assert restored.snapshot() == buffer.snapshot()
    assert go_on(restored) == go_on(buffer)


def test_committing_what_was_not_taken_is_our_own_mistake():
    buffer = filled(1)
    with pytest.raises(AssertionError, match="was not taken"):
        buffer.used(buffer.waiting)
