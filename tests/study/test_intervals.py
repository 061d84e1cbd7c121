from __future__ import annotations

import numpy as np
import pytest

from relift.study.intervals import Measured, holm, interval_of, over_seeds, student_quantile, two_sided_p


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062047), (2, 4.3026527), (4, 2.7764451), (9, 2.2621572), (30, 2.0422725), (400, 1.9659123)],
)
def test_quantiles_and_p_values_are_those_of_students_table(freedom: int, quantile: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, abs=1e-6)
    assert two_sided_p(quantile, freedom) == pytest.approx(0.05, abs=1e-8)
    assert two_sided_p(-quantile, freedom) == two_sided_p(quantile, freedom)
    assert two_sided_p(0.0, freedom) == 1.0


def test_an_interval_over_seeds_is_that_of_the_paired_t_test_by_hand() -> None:
    """Mean 0.3, standard deviation 0.1 over four seeds: 0.3 +- 3.182 * 0.05; t = 6 of 3 degrees of freedom."""
    found = over_seeds([0.2, 0.4, 0.3 + 0.05 * 2**0.5, 0.3 - 0.05 * 2**0.5])
    error = (2 * 0.01 + 2 * 0.005) ** 0.5 / 3**0.5 / 2
    assert (found.mean, found.low) == pytest.approx((0.3, 0.3 - 3.1824463 * error))
    assert found.high - found.mean == pytest.approx(found.mean - found.low)
    assert found.p == pytest.approx(two_sided_p(0.3 / error, 3))


def test_holm_multiplies_the_smallest_by_all_and_never_goes_down_again() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_under_four_seeds_the_interval_is_over_questions_by_hand() -> None:
    """Two seeds of other questions: deviations of a half in each of four, over 2 * 2 questions, 4 / 3 of their squares;
    and two questions more."""
    by_seed = {0: measured("ab", [1, 0]), 1: measured("cd", [1, 0])}
    found = interval_of(by_seed)
    assert (found.mean, found.over) == (0.5, "questions")
    error = (4 * (0.5 / 4) ** 2 * 4 / 3 + 2 / 4**2) ** 0.5
    assert found.high - 0.5 == pytest.approx(student_quantile(0.975, 3) * error)


def test_a_question_that_every_seed_asks_is_one_observation() -> None:
    apart = interval_of({0: measured("abcd", [1, 0, 1, 0]), 1: measured("efgh", [1, 0, 1, 0])})
    same = interval_of({0: measured("abcd", [1, 0, 1, 0]), 1: measured("abcd", [1, 0, 1, 0])})
    assert same.mean == apart.mean
    assert same.high - same.low > 1.2 * (apart.high - apart.low)


def test_questions_that_all_agree_leave_an_interval_of_some_width() -> None:
    found = interval_of({0: measured("abcdefgh", [0] * 8)})
    assert found.low < -0.2 and found.high > 0.2 and found.p == 1.0


def measured(questions: str, values: list[float]) -> list[Measured]:
    return [Measured(question=q, benchmark="mul2", value=v) for q, v in zip(questions, values, strict=True)]


def seed_differences(random: np.random.Generator, seeds: int, spread: float) -> np.ndarray:
    """(seeds, 400) paired differences of right answers: -1, 0 or 1, around 0.06 and the seed's own distance to it."""
    gain = 0.06 + spread * random.standard_normal((seeds, 1))
    draws = random.random((seeds, 400))
    return np.where(draws < 0.1 + gain / 2, 1.0, np.where(draws > 0.9 + gain / 2, -1.0, 0.0))


def test_the_interval_over_five_seeds_of_400_questions_covers_what_another_seed_would_show() -> None:
    random = np.random.default_rng(7)
    for spread in (0.0, 0.03):
        found = [over_seeds(seed_differences(random, 5, spread).mean(axis=1).tolist()) for _ in range(3000)]
        assert 0.93 < np.mean([each.low <= 0.06 <= each.high for each in found]) < 0.97


def test_the_interval_over_questions_covers_what_these_seeds_would_show_on_other_questions_and_not_other_seeds() -> (
    None
):
    random = np.random.default_rng(7)
    given, others = 0, 0
    for _ in range(500):
        gains = 0.06 + 0.03 * random.standard_normal(2)
        draws = random.random((2, 400))
        values = np.where(draws < 0.1 + gains[:, None] / 2, 1.0, np.where(draws > 0.9 + gains[:, None] / 2, -1.0, 0.0))
        found = interval_of(
            {
                s: [Measured(question=f"{s}/{q}", benchmark="", value=v) for q, v in enumerate(row)]
                for s, row in enumerate(values)
            }
        )
        given += found.low <= gains.mean() <= found.high
        others += found.low <= 0.06 <= found.high
    assert 0.93 < given / 500 < 0.97
    assert others / 500 < 0.9
