import subprocess
import sys
from collections import Counter
from dataclasses import replace

from relift.config import EveryKRuleConfig, RandomRuleConfig, ReliftRuleConfig
from relift.interleave import Lesson, Moment, ReliftRule
from relift.interleave.rules.every_k import EveryKRule
from relift.interleave.rules.random import RandomRule


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


def test_every_k_teaches_the_newest_at_its_iterations_and_takes_what_there_is():
    rule, now = EveryKRule(EveryKRuleConfig(every=3, batch_size=2)), moment(["old", "b", "c"], ["c"])
    taught = [list(rule.batches(replace(now, iteration=i))) for i in range(6)]
    assert taught == [[], [], [["b", "c"]], [], [], [["b", "c"]]]
    assert list(rule.batches(replace(moment(["one"]), iteration=2))) == [["one"]]
    assert not rule.batches(replace(moment([]), iteration=2)) and list(rule.requests(now)) == ["c"]


def test_random_asks_for_as_many_as_are_hardest_each_as_likely_and_no_control():
    rule = RandomRule(RandomRuleConfig())
    batch = tuple(f"q{i}" for i in range(20))
    now = replace(moment([], ["q0", "q1", "q2", "q3", "q4"]), questions=(*batch, "control"), teachable=batch)
    drawn = [rule.requests(replace(now, iteration=i)) for i in range(2000)]
    assert drawn == [rule.requests(replace(now, iteration=i)) for i in range(2000)]
    assert {len(asked) for asked in drawn} == {5} and drawn[0] != rule.requests(replace(now, seed=1))
    counts = Counter(question for asked in drawn for question in asked)
    assert set(counts) == set(batch) and max(abs(counts[q] / 2000 - 0.25) for q in batch) < 0.05


def test_the_package_needs_no_torch():
    code = "import relift.interleave, sys; sys.exit(bool({'torch', 'numpy', 'pyarrow', 'duckdb'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
