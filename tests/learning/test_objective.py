"""A loss of one's own: what it is given, what is put upon it, and what is refused before it trains anything."""

import dataclasses
import sys
import types

import pytest
import torch
from learning_helpers import RecordingOptimizer, rl, rl_gradient, sequences, tiny_model

from relift.config import ClipConfig, CorrectionConfig, KlConfig, PluginConfig, PpoConfig, RlConfig
from relift.errors import ConfigError, DataError
from relift.learning import Objective, Ranks, require_loss
from relift.learning.steps import Tally
from relift.learning.surrogate import clipped_surrogate, policy_ratio

MODULE = types.ModuleType("losses_of_the_tests")
MODULE.__file__ = __file__
sys.modules[MODULE.__name__] = MODULE


def loss(function, **settings):
    setattr(MODULE, function.__name__, function)
    return PluginConfig(kind=f"{MODULE.__name__}:{function.__name__}", settings=settings)


def as_ppo(tokens, *, high: float = 0.28):
    """What comes with relift, written again."""
    ratio_C = policy_ratio(tokens.logprobs_C, tokens.old_logprobs_C, tokens.sequence_C, tokens.loss_tokens_S, "token")
    surrogate_C, clipped_C = clipped_surrogate(ratio_C, tokens.advantages_C, ClipConfig(high=high))
    return Objective(surrogate_C, {"clip_fraction": clipped_C.sum(), "ratio": ratio_C.sum()})


as_ppo.zero_without_advantage = True


@pytest.mark.parametrize("terms", [{}, {"kl": KlConfig(weight=0.3)}, {"correction": CorrectionConfig(high=1.2)}])
@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean", "constant"])
def test_a_loss_written_again_trains_the_same_whatever_is_put_upon_it(aggregation, terms):
    made, reference = sequences([5, 9, 7, 6]), tiny_model(seed=1)
    for budget in (20, 10_000):
        common = {"aggregation": aggregation, "budget": budget, "reference": reference, **terms}
        want = rl_gradient(made, loss=PpoConfig(clip=ClipConfig(high=0.1)), **common)
        found = rl_gradient(made, loss=loss(as_ppo, high=0.1), **common)
        assert found.keys() == want.keys()
        for name, gradient in want.items():
            assert torch.equal(found[name], gradient), name


def test_its_metrics_are_reported_per_trained_token_beside_what_is_put_upon_it():
    model = tiny_model()
    report = rl(model, RecordingOptimizer(model), [sequences([5, 9, 7])], loss=loss(as_ppo), budget=20)
    assert report.metrics.keys() == {"clip_fraction", "ratio", "entropy"}
    assert report.metrics["ratio"] == pytest.approx(1.0), "the first step's own log-probabilities are the old ones"


def everything(tokens):
    return Objective(tokens.logprobs_C * 1.0)


def test_a_sequence_without_advantage_is_left_out_only_where_the_loss_says_that_it_moves_nothing():
    flat = [dataclasses.replace(s, advantage=0.0) for s in sequences([5, 9])]
    model = tiny_model()
    taken, skipped = (
        rl(model, RecordingOptimizer(model), [flat], loss=loss(function)) for function in (everything, as_ppo)
    )
    assert (taken.steps, taken.skipped) == (1, 0)
    assert (skipped.steps, skipped.skipped) == (0, 1)


def returns_a_tensor(tokens):
    return tokens.logprobs_C


def sums_itself(tokens):
    return Objective(tokens.logprobs_C.sum())


def detached(tokens):
    return Objective(tokens.advantages_C * tokens.logprobs_C.detach())


def of_the_batch(tokens):
    return Objective(tokens.logprobs_C - tokens.logprobs_C.mean().nan_to_num())


def a_number(tokens):
    return Objective(tokens.logprobs_C * 1.0, {"length": 3.0})


def not_summed(tokens):
    return Objective(tokens.logprobs_C * 1.0, {"length": tokens.logprobs_C})


def reserved(tokens):
    return Objective(tokens.logprobs_C * 1.0, {"kl": tokens.logprobs_C.sum()})


def now_and_then(tokens):
    metrics = {"length": tokens.logprobs_C.sum()} if len(tokens.logprobs_C) else {}
    return Objective(tokens.logprobs_C * 1.0, metrics)


def fails(tokens):
    return Objective(tokens.logprobs_C + tokens.reference_logprobs_C)


def other_parameters(batch, floor: float = 0.1):
    return Objective(batch)


def averages(tokens):
    return Objective(tokens.logprobs_C * 1.0, {"length": tokens.logprobs_C.sum() / max(1, len(tokens.logprobs_C))})


def averages_nothing(tokens):
    return Objective(tokens.logprobs_C * 1.0, {"length": tokens.logprobs_C.mean()})


def without_metrics(tokens):
    return Objective(tokens.logprobs_C * 1.0, None)


def nameless(tokens):
    return Objective(tokens.logprobs_C * 1.0, {"": tokens.logprobs_C.sum()})


def a_list(tokens):
    return Objective(tokens.logprobs_C.tolist())


def not_a_number_now_and_then(tokens):
    return Objective(torch.where(tokens.advantages_C == 0.5, torch.nan, tokens.logprobs_C))


def steep(tokens):
    return Objective(torch.sqrt(tokens.logprobs_C - tokens.logprobs_C.detach()))


def halves_the_advantages(tokens):
    tokens.advantages_S.mul_(0.5)
    return Objective(tokens.logprobs_C * tokens.advantages_C)


def bounds_the_old_ones(tokens):
    ratio_C = torch.exp(tokens.logprobs_C - tokens.old_logprobs_C)
    tokens.old_logprobs_C.clamp_(min=-1)
    return Objective(ratio_C * tokens.advantages_C)


def untrue(tokens):
    return Objective(tokens.logprobs_C * 1.0)


untrue.zero_without_advantage = True


def ends(tokens):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (returns_a_tensor, r"returned Tensor; a loss returns relift\.learning\.Objective"),
        (sums_itself, r"an objective of shape \(\) for tokens of shape \(6,\)"),
        (detached, "does not depend on logprobs_C, so it would train nothing"),
        (of_the_batch, "depends on which other sequences are in its micro-batch"),
        (a_number, r"metric 'length' is no tensor of shape \(\)"),
        (not_summed, "return its sum over the tokens"),
        (reserved, "cannot be called 'kl', which is relift's"),
        (now_and_then, "other names for some tokens, or for none"),
        (fails, "fails on 6 tokens that were made up to try it: TypeError"),
        (averages, "'length' is -1 of some tokens and -2 of their parts together, so it is no sum over tokens"),
        (averages_nothing, "'length' is not finite for 0 tokens"),
        (without_metrics, "returned metrics of NoneType"),
        (nameless, "it calls a metric ''"),
        (a_list, "returned an objective of list"),
        (not_a_number_now_and_then, "its objective is not finite for each of 6 tokens"),
        (steep, "the gradient of its objective is not finite"),
        (halves_the_advantages, "changes advantages_S in place"),
        (bounds_the_old_ones, "changes old_logprobs_C in place"),
        (untrue, "says zero_without_advantage, .* and its objective has a gradient for them"),
        (ends, "fails on 6 tokens that were made up to try it: SystemExit: 3"),
        (other_parameters, r"takes \(batch, floor: float = 0\.1\); a loss is .* \(tokens, \.\.\.\)"),
    ],
)
def test_what_cannot_train_is_refused_before_it_does(function, message):
    with pytest.raises(ConfigError, match=message):
        require_loss(RlConfig(loss=loss(function)))


def test_its_settings_are_checked_by_name_and_its_source_is_named():
    with pytest.raises(
        ConfigError, match=r"rl\.loss\.settings\.hihg: no such setting \(did you mean rl\.loss\.settings\.high"
    ):
        require_loss(RlConfig(loss=loss(as_ppo, hihg=0.1)))
    ((name, sha256),) = require_loss(RlConfig(loss=loss(as_ppo, high=0.1))).items()
    assert (name, len(sha256)) == ("rl.loss losses_of_the_tests:as_ppo", 64)
    assert require_loss(RlConfig()) == {}


def test_ranks_whose_losses_measured_other_things_are_refused():
    class Two(Ranks):
        def largest(self, values):
            return [max(value, other) for value, other in zip(values, others, strict=True)]

    tally = Tally(metrics={"length": 1.0})
    others = [0.0, 0.0, 0.0]
    with pytest.raises(DataError, match="other names on another rank"):
        tally.over(Two())
