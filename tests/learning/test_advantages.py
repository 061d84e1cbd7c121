import pytest
import torch

from relift.learning import group_advantages


def advantages(rewards, graded=None, scale="none"):
    rewards_G = torch.tensor(rewards, dtype=torch.float64)
    graded_G = torch.ones_like(rewards_G) if graded is None else torch.tensor(graded)
    return group_advantages(rewards_G, graded_G, scale).tolist()


def test_the_distance_to_the_mean():
    assert advantages([1, 0, 0, 0]) == [0.75, -0.25, -0.25, -0.25]


def test_divided_by_the_standard_deviation_in_its_n_minus_1_form():
    # mean 1/4, squared distances 9/16 + 3/16 = 3/4, over 3: variance 1/4, deviation 1/2
    expected = [0.75 / (0.5 + 1e-6)] + [-0.25 / (0.5 + 1e-6)] * 3
    assert advantages([1, 0, 0, 0], scale="std") == pytest.approx(expected, rel=1e-12)


def test_ungraded_rollouts_take_no_part_whatever_their_reward_holds():
    assert advantages([1, 99, 0, -7], graded=[1, 0, 1, 0]) == [0.5, 0.0, -0.5, 0.0]
    assert advantages([1, float("nan"), 0], graded=[1, 0, 1]) == [0.5, 0.0, -0.5]


@pytest.mark.parametrize("scale", ["none", "std"])
def test_a_group_that_agrees_or_has_one_graded_gets_exactly_zero(scale):
    assert advantages([0.1] * 7, scale=scale) == [0.0] * 7  # 0.1 summed seven times is not 0.7
    assert advantages([1, 0, 0], graded=[1, 0, 0], scale=scale) == [0.0] * 3
    assert advantages([1, 0], graded=[0, 0], scale=scale) == [0.0] * 2
    assert advantages([], scale=scale) == []
