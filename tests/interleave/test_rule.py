import subprocess
import sys

from relift.config import BufferConfig, SftConfig
from relift.interleave import DemonstrationBuffer, ReliftRule


def filled(count):
    buffer = DemonstrationBuffer(BufferConfig())
    for i in range(count):
        buffer.add(f"q{i}", f"d{i}", 0)
    return buffer


def names(batches):
    return [[entry.question_id for entry in batch] for batch in batches]


def test_nothing_is_taught_before_m_wait():
    rule = ReliftRule(SftConfig(batch_size=4))
    assert rule.batches(filled(0), 0) == []
    assert rule.batches(filled(3), 0) == []
    assert names(rule.batches(filled(4), 0)) == [["q0", "q1", "q2", "q3"]]


def test_one_update_per_iteration_however_many_wait():
    buffer = filled(9)
    rule = ReliftRule(SftConfig(batch_size=2))
    assert names(rule.batches(buffer, 0)) == [["q0", "q1"]]
    assert names(rule.batches(buffer, 1)) == [["q2", "q3"]]


def test_the_cap_is_a_setting():
    rule = ReliftRule(SftConfig(batch_size=2, max_updates_per_iteration=3))
    assert names(rule.batches(filled(9), 0)) == [["q0", "q1"], ["q2", "q3"], ["q4", "q5"]]
    assert names(rule.batches(filled(5), 0)) == [["q0", "q1"], ["q2", "q3"]]


def test_without_a_supervised_section_nothing_is_ever_taught():
    buffer = filled(500)
    assert ReliftRule(None).batches(buffer, 0) == []
    assert len(buffer) == 500


def test_the_package_needs_no_torch():
    code = "import relift.interleave, sys; sys.exit(bool({'torch', 'numpy', 'pyarrow', 'duckdb'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
