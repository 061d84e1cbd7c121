import subprocess
import sys

from relift.config import ReliftRuleConfig
from relift.interleave import Lesson, Moment, ReliftRule


def moment(waiting, hardest=()):
    lessons = {
        q: Lesson(question_id=q, demonstration_id=f"d-{q}", text="", first_iteration=0, failures=1) for q in waiting
    }
    return Moment(iteration=0, seed=0, questions=(), waiting=lessons, hardest=tuple(hardest))


def batches(count, **settings):
    return ReliftRule(ReliftRuleConfig(**settings)).batches(moment([f"q{i}" for i in range(count)]))


def test_nothing_is_taught_before_m_wait():
    assert batches(0, batch_size=4) == batches(3, batch_size=4) == []
    assert batches(4, batch_size=4) == [["q0", "q1", "q2", "q3"]]


def test_one_update_per_iteration_however_many_wait():
    assert batches(9, batch_size=2) == [["q0", "q1"]]


def test_the_cap_is_a_setting():
    assert batches(9, batch_size=2, max_updates_per_iteration=3) == [["q0", "q1"], ["q2", "q3"], ["q4", "q5"]]
    assert batches(5, batch_size=2, max_updates_per_iteration=3) == [["q0", "q1"], ["q2", "q3"]]


def test_the_hardest_are_asked_for_and_no_group_is_touched():
    rule, now = ReliftRule(ReliftRuleConfig()), moment([], ["b", "a"])
    assert list(rule.requests(now)) == ["b", "a"]
    assert not rule.groups(now) and not rule.prompts(now)


def test_the_package_needs_no_torch():
    code = "import relift.interleave, sys; sys.exit(bool({'torch', 'numpy', 'pyarrow', 'duckdb'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
