from __future__ import annotations

from pathlib import Path

import pytest

from relift.study.results import StudyResult
from relift.study.study import load_study
from relift.study.whole import study_result
from tests.study.run_results import run_result

STUDY = """
recipe = "demo"
seeds = [1, 2, 3, 4]
planned = [["relift", "grpo"]]
expected = { "relift - grpo" = 0.4 }
[budget]
rollouts = 512
[methods.relift]
[methods.grpo]
sft = "off"
[methods.random]
[methods.sft-all]
reference = true
"""
AFTER = {"relift": [1, 1, 1, 0], "grpo": [1, 0, 0, 1], "random": [1, 1, 0, 1], "sft-all": [1, 1, 1, 1]}


def whole(tmp_path: Path, seeds: tuple[int, ...] = (1, 2, 3, 4)) -> StudyResult:
    file = tmp_path / "tiny.toml"
    file.write_text(STUDY)
    shifted = dict.fromkeys(seeds, AFTER) | {
        1: {**AFTER, "relift": [1, 1, 1, 1]},
        2: {**AFTER, "random": [1, 0, 0, 1]},
    }
    results = {(m, seed): run_result(m, seed, after=after) for seed in seeds for m, after in shifted[seed].items()}
    return study_result(load_study(file), results, command="relift compare tiny.toml", versions={})


def test_pairs_are_paired_by_seed_and_the_planned_one_stands_alone(tmp_path: Path) -> None:
    pair = whole(tmp_path).pairs["relift - grpo"]
    assert pair.by_seed == {"1": 0.5, "2": 0.25, "3": 0.25, "4": 0.25}
    assert (pair.mean, pair.over, pair.planned) == (0.3125, "seeds", True)
    assert pair.low == pytest.approx(0.3125 - 3.1824463 * 0.0625)  # their standard deviation is 0.125
    assert pair.p_adjusted == pair.p
    assert pair.is_loss, "0.4 was expected"


def test_its_date_is_that_of_the_run_that_ended_last_so_that_drawing_it_again_changes_nothing(tmp_path: Path) -> None:
    assert whole(tmp_path) == whole(tmp_path) and whole(tmp_path).date == "2026-01-31T03:00:00+00:00"


def test_all_others_are_exploratory_against_relift_and_grpo_and_a_reference_row_is_in_none(tmp_path: Path) -> None:
    study = whole(tmp_path)
    assert list(study.pairs) == ["relift - grpo", "relift - random", "random - grpo"]
    first, second = study.pairs["random - grpo"], study.pairs["relift - random"]
    assert not first.planned and first.p < second.p
    assert first.p_adjusted == pytest.approx(2 * first.p)
    assert second.p_adjusted == pytest.approx(max(second.p, 2 * first.p))
    assert study.references == ("sft-all",)


def test_losses_are_read_first(tmp_path: Path) -> None:
    first, second, _ = whole(tmp_path).losses_first
    assert (first.second, first.is_loss, second.is_loss) == ("grpo", True, False)


def test_what_has_not_ended_is_missing_and_the_rest_stands_over_questions(tmp_path: Path) -> None:
    study = whole(tmp_path, seeds=(1, 2))
    assert study.missing[:2] == ("relift-3", "grpo-3") and len(study.missing) == 8
    assert study.pairs["relift - grpo"].over == study.means["grpo"].over == "questions"
    study.write(tmp_path / "tiny.json")
    assert StudyResult.read(tmp_path / "tiny.json") == study
