"""What is remembered of past comparisons, and for how long."""

from __future__ import annotations

import pytest

from relift.records import DecidedBy, Status
from relift.verifier import Verifier
from relift.verifier.cache import DecisionCache, verifier_version
from relift.verifier.equivalence import Decision, Undecided
from relift.verifier.kinds import Comparison

RIGHT = Decision(Status.CORRECT, DecidedBy.SYMPY)


def pair(number: int) -> Undecided:
    return Undecided("1", str(number))


def test_the_least_recently_used_pair_goes_first():
    cache = DecisionCache(max_entries=3)
    for number in (1, 2, 3):
        cache.put(pair(number), RIGHT)
    cache.get(pair(1))
    cache.put(pair(4), RIGHT)
    assert len(cache) == 3
    assert [number for number in (1, 2, 3, 4) if cache.get(pair(number)) is RIGHT] == [1, 3, 4]


def test_gold_and_answer_are_not_exchanged_and_not_run_together():
    cache = DecisionCache()
    cache.put(Undecided("a", "bc"), RIGHT)
    assert cache.get(Undecided("a", "bc")) is RIGHT
    assert cache.get(Undecided("ab", "c")) is None
    assert cache.get(Undecided("bc", "a")) is None


@pytest.mark.parametrize("status", list(Status))
def test_what_may_pass_is_not_kept(status):
    cache = DecisionCache()
    cache.put(pair(1), Decision(status, DecidedBy.SYMPY))
    assert (cache.get(pair(1)) is None) == (status in (Status.TIMEOUT, Status.ERROR))


def test_the_length_of_the_texts_costs_no_memory_and_half_a_surrogate_is_a_text():
    cache = DecisionCache()
    cache.put(Undecided("1", "\ud800" * 20_000), RIGHT)
    assert cache.get(Undecided("1", "\ud800" * 20_000)) is RIGHT
    assert cache.get(Undecided("1", "\ud800" * 19_999)) is None
    assert {len(key) for key in cache._entries} == {16}


def test_another_version_of_a_library_is_another_key(monkeypatch):
    cache = DecisionCache()
    cache.put(pair(1), RIGHT)
    assert "math-verify 0.9" in verifier_version()
    monkeypatch.setattr("relift.verifier.cache.verifier_version", lambda: "another")
    assert cache.get(pair(1)) is None


def test_a_timeout_is_tried_again_in_the_next_batch_and_not_in_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "once_slow.py").write_text(
        "import pathlib, time\n"
        "def same(gold, answer):\n"
        "    called = pathlib.Path('called')\n"
        "    called.write_text(called.read_text() + 'x' if called.exists() else 'x')\n"
        "    if called.read_text() == 'x':\n"
        "        time.sleep(30)\n"
        "    return gold == answer\n"
    )
    comparison = Comparison(kind="callable", function="once_slow:same")
    with Verifier("boxed", comparison=comparison, hard_limit_seconds=0.5, workers=1) as verifier:
        first = verifier.compare_batch([("3", "3"), ("3", "3")])
        second = verifier.compare_batch([("3", "3"), ("3", "3")])
        third = verifier.compare_batch([("3", "3")])
    assert {verdict.status for verdict in first} == {Status.TIMEOUT}
    assert {verdict.status for verdict in second + third} == {Status.CORRECT}
    assert (tmp_path / "called").read_text() == "xx"
