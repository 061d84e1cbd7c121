import pytest
import torch

from relift.config import OverlongConfig
from relift.learning import group_advantages
from relift.learning.advantages import overlong_penalty


def advantages(rewards, scale="none"):
    return group_advantages(torch.tensor(rewards, dtype=torch.float64), scale).tolist()


def test_the_distance_to_the_mean():
    assert advantages([1, 0, 0, 0]) == [0.75, -0.25, -0.25, -0.25]


def test_divided_by_the_standard_deviation_in_its_n_minus_1_form():
    # mean 1/4, squared distances 9/16 + 3/16 = 3/4, over 3: variance 1/4, deviation 1/2
    expected = [0.75 / (0.5 + 1e-6)] + [-0.25 / (0.5 + 1e-6)] * 3
    assert advantages([1, 0, 0, 0], scale="std") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", ["none", "std"])
def test_a_group_that_agrees_or_has_one_graded_gets_exactly_zero(scale):
    assert advantages([0.1] * 7, scale=scale) == [0.0] * 7  # 0.1 summed seven times is not 0.7
    assert advantages([1], scale=scale) == [0.0]
    assert advantages([], scale=scale) == []


@pytest.mark.parametrize(("tokens", "share"), [(1, 0.0), (16, 0.0), (17, 0.25), (18, 0.5), (20, 1.0), (21, 1.0)])
def test_the_overlong_penalty_grows_over_the_last_tokens_before_the_limit(tokens, share):
    config = OverlongConfig(buffer=4, penalty=0.5)
    assert overlong_penalty(tokens, max_completion_tokens=20, config=config) == 0.5 * share


def test_a_buffer_as_long_as_the_limit_penalises_in_proportion_to_the_length():
    config = OverlongConfig(buffer=20)
    assert [overlong_penalty(n, max_completion_tokens=20, config=config) for n in (1, 5, 20)] == [0.05, 0.25, 1.0]


def test_dapos_penalty_for_rewards_of_minus_1_and_1_is_half_as_large_for_0_and_1():
    lengths, correct = [5, 17, 19, 20, 18, 3], [1, 1, 1, 0, 0, 0]

    def shaped(rewards, penalty):
        config = OverlongConfig(buffer=4, penalty=penalty)
        return advantages(
            [
                r - overlong_penalty(n, max_completion_tokens=20, config=config)
                for r, n in zip(rewards, lengths, strict=True)
            ],
            scale="std",
        )

    published = shaped([2.0 * c - 1 for c in correct], penalty=1.0)
    assert shaped([float(c) for c in correct], penalty=0.5) == pytest.approx(published, rel=1e-5)
