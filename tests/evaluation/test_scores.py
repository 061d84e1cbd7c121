"""Scores against numbers worked by hand."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest

from relift.evaluation import band, mean_interval, pass_at_k, pass_interval, summarise, wilson_interval
from relift.evaluation.scores import student_quantile
from relift.records import Completion, FinishReason, Question, Rollout, RolloutGroup, Status, Verdict


@pytest.mark.parametrize(("n", "c", "k"), [(8, 1, 1), (8, 1, 4), (6, 3, 2), (5, 5, 1), (4, 0, 4), (5, 3, 3)])
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n: int, c: int, k: int) -> None:
    subsets = list(itertools.combinations([1] * c + [0] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(any(s) for s in subsets) / len(subsets))


def test_pass_at_k_is_undefined_beyond_the_samples() -> None:
    with pytest.raises(ValueError, match="undefined"):
        pass_at_k(4, 2, 5)


def test_wilson_upper_bounds_of_no_success_are_the_published_ones() -> None:
    for n, bound in ((8, 0.32), (16, 0.19), (32, 0.11)):
        low, high = wilson_interval(0, n)
        assert low == 0
        assert high == pytest.approx(bound, abs=0.006)
    assert wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_bands_are_those_of_eight_samples() -> None:
    assert [band(c / 8) for c in range(9)] == [
        "hardest",
        "hard",
        "hard",
        "medium",
        "medium",
        "medium",
        "easy",
        "easy",
        "easy",
    ]


def group(correct: int, of: int, tokens: int) -> RolloutGroup:
    rollouts = tuple(
        Rollout(
            sample=s,
            completion=Completion(
                token_ids=(1,) * tokens,
                logprobs=(0.0,) * tokens,
                text="",
                finish_reason=FinishReason.STOP,
                policy_version=0,
            ),
            verdict=Verdict(status=Status.CORRECT if s < correct else Status.WRONG),
            reward=float(s < correct),
        )
        for s in range(of)
    )
    return RolloutGroup(question=Question(id=f"{correct}{tokens}", text="", answer="", source="x"), rollouts=rollouts)


def test_a_summary_averages_questions_and_counts_bands() -> None:
    result = summarise("x", [group(4, 4, 2), group(1, 4, 4), group(0, 4, 6)], version=3, iteration=9)
    assert result.avg_at_k == pytest.approx((1 + 0.25 + 0) / 3)
    assert result.pass_at_k == pytest.approx(2 / 3)
    assert result.bands == {"easy": 1, "hard": 1, "hardest": 1}
    assert result.mean_tokens == 4
    assert result.low <= result.avg_at_k <= result.high


def test_one_sample_per_question_gets_wilsons_interval() -> None:
    result = summarise("x", [group(1, 1, 1)] * 30 + [group(0, 1, 1)] * 70, version=0, iteration=0)
    assert (result.low, result.high) == pytest.approx(wilson_interval(30, 100))


# Accuracies of questions, as a model might have them: mostly never, mostly 0 or 1, spread out, all alike.
MODELS = {
    "hopeless": lambda random, shape: np.where(random.random(shape) < 0.9, 0.0, random.random(shape)),
    "certain": lambda random, shape: random.beta(0.2, 0.2, shape),
    "skewed": lambda random, shape: random.beta(0.05, 0.5, shape),
    "spread": lambda random, shape: random.random(shape),
    "alike": lambda random, shape: np.full(shape, 0.1),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("questions", "k"), [(10, 8), (30, 8), (30, 32), (100, 8)])
def test_the_interval_of_avg_at_k_holds_its_level(model: str, questions: int, k: int) -> None:
    random = np.random.default_rng([questions, k])
    mean = MODELS[model](random, 500_000).mean()
    accuracies = (random.binomial(k, MODELS[model](random, (1500, questions))) / k).tolist()
    intervals = [mean_interval(row, k) for row in accuracies]
    covered = sum(low <= mean <= high for low, high in intervals) / len(intervals)
    assert covered >= 0.93  # a standard deviation of the simulation is 0.006
    for (low, high), row in zip(intervals, accuracies, strict=True):
        assert 0 <= low <= statistics.fmean(row) <= high <= 1
    widths = [high - low for low, high in intervals]
    alone = [high - low for low, high in (wilson_interval(sum(row), questions) for row in accuracies)]
    assert sum(widths) < 1.2 * sum(alone)  # and k samples a question are not much worse than one


def test_spread_out_questions_are_known_less_well_than_equal_ones() -> None:
    apart, equal = mean_interval([1.0] * 15 + [0.0] * 15, 8), mean_interval([0.5] * 30, 8)
    assert apart == pytest.approx(wilson_interval(15, 30, z=2.0452), abs=1e-3)
    assert equal[1] - equal[0] < 0.5 * (apart[1] - apart[0])


def test_questions_that_all_agree_leave_room_for_one_that_does_not() -> None:
    low, high = mean_interval([0.0] * 30, 8)
    assert (low, high) == pytest.approx(wilson_interval(0, 30, z=2.0452), abs=1e-3)
    assert mean_interval([1.0] * 30, 8)[1] == 1
    assert mean_interval([0.25], 4) == wilson_interval(0.25, 1)


def test_the_interval_of_pass_at_k_counts_questions() -> None:
    assert pass_interval(0.3, 100) == pytest.approx(wilson_interval(30, 100))


def test_students_quantiles_are_those_of_the_tables() -> None:
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 29: 2.045, 100: 1.984}
    assert [student_quantile(n) for n in table] == [pytest.approx(q, rel=2e-3) for q in table.values()]
