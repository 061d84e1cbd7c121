from __future__ import annotations

import json
from pathlib import Path

import pytest

from relift.errors import DataError
from relift.study.results import PairResult, RunResult
from tests.study.run_results import run_result


def test_a_result_that_was_written_is_read_back_as_it_was(tmp_path: Path) -> None:
    for result in (run_result(), run_result(lift=None)):
        result.write(tmp_path / "new" / "relift-101.json")
        assert RunResult.read(tmp_path / "new" / "relift-101.json") == result


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("mean", 89.5, "mean"),
        ("mean", None, "mean"),
        ("seconds", -1, "seconds"),
        ("format", 2, "format"),
        ("mood", 1, "mood"),
    ],
)
def test_a_file_that_is_no_result_is_refused_by_its_key(tmp_path: Path, key: str, value: object, named: str) -> None:
    file = tmp_path / "relift-101.json"
    run_result().write(file)
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(DataError, match=rf"relift-101.json is no RunResult.*\n  {named}: "):
        RunResult.read(file)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "relift-101.json"
    file.write_text('{"format": 1, ')
    with pytest.raises(DataError, match="the file: Invalid JSON"):
        RunResult.read(file)


@pytest.mark.parametrize(
    ("mean", "high", "expected", "is_loss"),
    [(0.1, 0.2, None, False), (-0.1, -0.01, None, True), (0.1, 0.2, 0.15, True), (-0.1, 0.1, None, False)],
)
def test_a_pair_is_a_loss_where_it_came_out_worse_than_expected_or_below_zero(
    mean: float, high: float, expected: float | None, is_loss: bool
) -> None:
    pair = PairResult(
        first="relift", second="grpo", mean=mean, low=-0.3, high=high, p=0.2, p_adjusted=0.2, planned=True,
        over="seeds", by_seed={"101": mean}, expected=expected,
    )  # fmt: skip
    assert pair.is_loss is is_loss
