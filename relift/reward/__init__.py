"""Rewards: what a completion is worth to the RL update, beside its verdict.

    verdicts -> Reward.results(completions of the iteration) -> (number, Rewarded) ... -> advantages of the RL update

``rl.reward = "correct"`` asks nobody: 1 for a correct verdict, 0 for another (``phases.verify``). A function of one's
own runs in the worker processes of the verifier. What counts as hardest, accuracy, difficulty and lift are of verdicts
alone, whatever the reward.
"""

from relift.reward.own import OwnReward, Reward, make_reward, require_reward

__all__ = ["OwnReward", "Reward", "make_reward", "require_reward"]
