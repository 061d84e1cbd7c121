"""Scores against numbers worked by hand."""

from __future__ import annotations

import itertools

import pytest

from relift.evaluation import band, pass_at_k, summarise, wilson_interval
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
