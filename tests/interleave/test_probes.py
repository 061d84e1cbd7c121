"""What is sampled again to see what teaching did, and when."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relift.config import ProbeConfig
from relift.interleave import ProbeSchedule, ProbeSnapshot


def schedule(questions: int = 16, after: tuple[int, ...] = (1, 5, 20)) -> ProbeSchedule:
    return ProbeSchedule(ProbeConfig(questions=questions, after=after))


def due_iterations(probes: ProbeSchedule, question: str, last: int = 40) -> list[int]:
    return [iteration for iteration in range(last) if question in probes.due(iteration)]


def test_a_taught_question_is_due_1_5_and_20_iterations_after_its_first_teaching():
    probes = schedule()
    probes.taught(["q"], 3)
    probes.taught(["q"], 8)
    assert due_iterations(probes, "q") == [4, 8, 23]


def test_a_control_is_due_with_those_that_the_next_update_teaches():
    probes = schedule()
    probes.withheld(["control"])
    assert due_iterations(probes, "control") == [], "nothing was taught in its stead yet"
    probes.taught(["q"], 7)
    probes.withheld(["control"])  # hard once more
    probes.taught(["r"], 9)
    assert due_iterations(probes, "control") == due_iterations(probes, "q") == [8, 12, 27]


def test_where_too_many_are_due_kinds_and_distances_take_turns_and_the_same_questions_are_followed():
    probes = schedule(questions=4, after=(1, 5))
    taught = [f"t{i}" for i in range(40)]
    probes.withheld(f"c{i}" for i in range(40))
    probes.taught(taught, 0)
    first, later = set(probes.due(1)), set(probes.due(5))
    assert first == later
    assert sorted(name[0] for name in first) == ["c", "c", "t", "t"]
    probes.taught([f"u{i}" for i in range(40)], 4)
    mixed = probes.due(5)  # five iterations after the first update, one after the second, which had no controls
    assert [name[0] for name in mixed] == ["c", "t", "u", "c"]


def test_nothing_is_due_without_probes():
    probes = ProbeSchedule(None)
    probes.taught(["q"], 0)
    assert probes.due(1) == ()


def test_a_restored_schedule_goes_on_like_the_uninterrupted_one():
    probes = schedule()
    probes.withheld(["a", "b"])
    probes.taught(["q"], 2)
    probes.withheld(["c"])
    again = schedule()
    again.restore(ProbeSnapshot.from_json(probes.snapshot().to_json()))
    for one in (probes, again):
        one.withheld(["a"])
        one.taught(["q", "r"], 6)
    assert [again.due(i) for i in range(30)] == [probes.due(i) for i in range(30)]
    assert set(probes.due(7)) == {"a", "b", "q"} | {"c", "r"}, "five after the first update, one after the second"


@pytest.mark.parametrize("after", [(), (0, 1), (5, 1), (1, 1)])
def test_distances_that_do_not_ascend_from_one_are_refused(after):
    with pytest.raises(ValidationError, match=r"probe.after is .* ascending"):
        ProbeConfig(after=after)
