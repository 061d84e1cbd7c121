"""One step has one gradient: however it is cut, ordered, packed or recomputed, and whatever the loss.

The reference is the plainest way there is: one padded batch, all logits, float64, and a loop over tokens with the
formulas as they are printed. It shares the model's weights and the words of the configuration with the trainer, nothing
else. RL gradients are those of an update's second step, after the weights have jumped: the ratios differ from 1, so
every clip and every bound is met.
"""

import dataclasses
import functools
import itertools
import math
import random

import numpy as np
import pytest
import torch
from learning_helpers import (
    VOCABULARY,
    RecordingOptimizer,
    padded_logprobs,
    plain_gradient,
    relative_error,
    rl,
    sft,
    tiny_model,
    without_rewards,
)

from relift.config import (
    CispoConfig,
    ClipConfig,
    CorrectionConfig,
    GspoConfig,
    KlConfig,
    PpoConfig,
    RlConfig,
    SftConfig,
)
from relift.policy.recompute import recompute_layers
from relift.records import TrainingSequence

COMPLETIONS = [40, 1, 3, 17, 2, 25, 9, 30, 12, 1, 36, 5, 20]
"""Tokens in the loss of each sequence: as unequal as can be."""
TOTALS = [46, 40, 36, 39, 42, 45, 37, 41, 38, 43, 44, 35, 36]
"""All its tokens: nearly equal, so that a budget can put each sequence into a micro-batch of its own."""
BUDGETS = {1: 600, 2: 300, 7: 90, 13: 60}
"""Tokens of a micro-batch that give this many of them."""
CHUNKS = (1, 64, 10_000)
NEEDED = sum(TOTALS) - len(TOTALS)
"""Tokens that are computed: all but the last of each sequence, which predicts nothing."""
LIMIT = 50
"""max_completion_tokens in learning_helpers."""
TOLERANCE = 1e-5


def made_up():
    rng = np.random.default_rng(1)
    return [
        TrainingSequence(
            question_id=f"q{i}",
            token_ids=tuple(int(t) for t in rng.integers(3, VOCABULARY, total)),
            loss_mask=(0,) * (total - completion) + (1,) * completion,
            advantage=(0.5, -1.5, 1.0)[i % 3],
        )
        for i, (total, completion) in enumerate(zip(TOTALS, COMPLETIONS, strict=True))
    ]


def another_policy(seed):
    """Not far from the tiny model: ratios of their probabilities from about 0.4 to 2.5."""
    model = tiny_model()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.03)
    return model


entry, current, start = tiny_model, functools.partial(another_policy, 5), functools.partial(another_policy, 6)


@functools.cache
def exact(policy, temperature=1.0):
    """Its log-probabilities of the tokens in the loss: a tuple of floats for each sequence."""
    with torch.no_grad():
        return [tuple(l_T.tolist()) for l_T, _ in padded_logprobs(policy().double(), made_up(), temperature)]


@functools.cache
def rollouts(temperature=1.0):
    """With log-probabilities of an engine that was a little off."""
    rng = np.random.default_rng(2)
    made = []
    for s, row in zip(made_up(), exact(entry, temperature), strict=True):
        off = tuple(float(np.float32(x + rng.normal(0, 0.3))) for x in row)
        made.append(dataclasses.replace(s, sampling_logprobs=(0.0,) * (len(s.token_ids) - len(off)) + off))
    return made


# ---------------------------------------------------------------- the formulas, token by token


def naive_surrogate(r, logprob, advantage, config):
    clip = config.loss.clip
    if config.loss.kind == "cispo":  # arXiv 2506.13585, eq. 4-5: the clipped ratio is a constant
        return min(max(r.item(), 1 - clip.low), 1 + clip.high) * advantage * logprob
    if clip is None:
        return r * advantage
    s = min(r * advantage, min(max(r, 1 - clip.low), 1 + clip.high) * advantage)
    return max(s, clip.dual * advantage) if clip.dual and advantage < 0 else s


def naive_correction(log_weights, t, correction):
    w = math.exp(sum(log_weights) if correction.level == "sequence" else log_weights[t])
    if correction.mode == "truncate":
        return min(w, correction.high)
    return w if (correction.low or 0) <= w <= correction.high else 0.0


def naive_rl_loss(model, sequences, config, temperature):
    tokens, count = sum(COMPLETIONS), len(COMPLETIONS)
    old, reference = exact(entry, temperature), exact(start, temperature)
    total = 0.0
    for i, (logprob, entropy) in enumerate(padded_logprobs(model, sequences, temperature)):
        length, advantage = len(logprob), sequences[i].advantage
        log_weights = [o - s for o, s in zip(old[i], sequences[i].sampling_logprobs[-length:], strict=True)]
        mean = sum(logprob[t] - old[i][t] for t in range(length)) / length
        objective = 0.0
        for t in range(length):
            r = torch.exp(mean if config.loss.kind == "gspo" else logprob[t] - old[i][t])
            x = naive_surrogate(r, logprob[t], advantage, config)
            if config.correction:
                x = x * naive_correction(log_weights, t, config.correction)
            if config.kl:
                d = logprob[t] - reference[i][t]
                x = x - config.kl.weight * {"k1": d, "k2": d**2 / 2, "k3": torch.exp(-d) - 1 + d}[config.kl.estimator]
            objective = objective + x + config.entropy_weight * entropy[t]
        share = {"token-mean": 1 / tokens, "seq-mean": 1 / (count * length), "constant": 1 / (count * LIMIT)}
        total = total - share[config.aggregation] * objective
    return total


def naive_sft_loss(model, sequences, config):
    total = 0.0
    for logprob, entropy in padded_logprobs(model, sequences):
        for t in range(len(logprob)):
            p, is_high = math.exp(logprob[t].item()), entropy[t].item() >= (config.entropy_threshold or 0)
            weight = {"none": 1, "p(1-p)": p * (1 - p), "high-entropy": 1 if is_high else 0}[config.token_weights]
            total = total - weight * logprob[t] - config.entropy_weight * entropy[t]
    return total / sum(COMPLETIONS)


# ---------------------------------------------------------------- the losses

GSPO = {"loss": GspoConfig(clip={"low": 0.05, "high": 0.06})}
RL = {
    "no clip": {"loss": PpoConfig(clip=None)},
    "clip": {"loss": PpoConfig(clip=ClipConfig(low=0.2, high=0.28, dual=None))},
    "dual clip": {"loss": PpoConfig(clip=ClipConfig(low=0.2, high=0.28, dual=1.5))},
    "GSPO": GSPO,
    "CISPO": {"loss": CispoConfig(clip={"low": 0.3, "high": 0.2})},
    **{f"KL {k}": {"kl": KlConfig(weight=0.3, estimator=k)} for k in ("k1", "k2", "k3")},
    "entropy": {"entropy_weight": 0.1},
    **{
        f"correction by {level}, {mode}": {"correction": CorrectionConfig(level=level, mode=mode, high=1.2)}
        for level in ("token", "sequence")
        for mode in ("truncate", "mask")
    },
    "correction in a band": {"correction": CorrectionConfig(mode="mask", low=0.8, high=1.2)},
    "everything": {
        **GSPO,
        "kl": KlConfig(weight=0.3),
        "correction": CorrectionConfig(level="sequence", high=1.2),
        "entropy_weight": 0.1,
    },
}
AGGREGATIONS = ("token-mean", "seq-mean", "constant")
SFT = {
    "plain": {"entropy_weight": 0.0},
    "entropy": {"entropy_weight": 0.05},
    "p(1-p)": {"entropy_weight": 0.0, "token_weights": "p(1-p)"},
    "high-entropy": {"entropy_weight": 0.05, "token_weights": "high-entropy", "entropy_threshold": 2.85},
}


@functools.cache
def rl_reference(mode, aggregation, temperature=1.0):
    config = RlConfig(aggregation=aggregation, **RL[mode])
    return plain_gradient(current(), lambda model: naive_rl_loss(model, rollouts(temperature), config, temperature))


@functools.cache
def sft_reference(mode):
    return plain_gradient(entry(), lambda model: naive_sft_loss(model, made_up(), SftConfig(**SFT[mode])))


# ---------------------------------------------------------------- the trainer's ways


class Jumping(RecordingOptimizer):
    """Its first step lands on the current policy, whatever the gradient."""

    def __init__(self, model):
        super().__init__(model)
        self.model = model

    def step(self, closure=None):
        super().step()
        self.model.load_state_dict(current().state_dict())


@dataclasses.dataclass(frozen=True)
class Way:
    micro_batches: int
    chunk: int = 10_000
    recomputed: bool = False
    order: str = "given"

    def ordered(self, sequences):
        shuffled = random.Random(3).sample(sequences, len(sequences))
        return {"given": sequences, "reversed": sequences[::-1], "shuffled": shuffled}[self.order]

    def model(self):
        """And a list to which each micro-batch that is trained on adds its tokens."""
        model, seen = tiny_model(), []
        if self.recomputed:
            assert recompute_layers(model, every=1) == 2

        def saw(_, args, kwargs, output):
            if torch.is_grad_enabled():
                seen.append(kwargs["input_ids"].numel())

        model.base_model.register_forward_hook(saw, with_kwargs=True)
        return model, seen


def rl_gradient_by(way, mode, aggregation, temperature=1.0):
    model, seen = way.model()
    optimizer, settings, made = Jumping(model), RL[mode], rollouts(temperature)
    report = rl(
        model,
        optimizer,
        [made[1:2], way.ordered(made)],
        budget=BUDGETS[way.micro_batches],
        chunk=way.chunk,
        temperature=temperature,
        reference=start() if "kl" in settings else None,
        aggregation=aggregation,
        **settings,
    )
    assert seen[0] == TOTALS[1] - 1, "the first step"
    assert (len(seen[1:]), sum(seen[1:])) == (way.micro_batches, NEEDED)
    assert 0.1 < report.metrics["clip_fraction"] < 0.9 or settings == RL["no clip"]
    assert "correction" not in settings or 0.1 < report.metrics["bounded_fraction"] < 0.9
    return optimizer.steps[1]


def sft_gradient_by(way, mode):
    model, seen = way.model()
    optimizer = RecordingOptimizer(model)
    made = without_rewards(way.ordered(made_up()))
    sft(model, optimizer, [made], budget=BUDGETS[way.micro_batches], chunk=way.chunk, **SFT[mode])
    assert (len(seen), sum(seen)) == (way.micro_batches, NEEDED)
    (gradient,) = optimizer.steps
    return gradient


FEW_WAYS = (
    Way(1),
    Way(2, chunk=64, recomputed=True, order="reversed"),
    Way(7, chunk=1, order="shuffled"),
    Way(13, chunk=64, recomputed=True),
)
ALL_WAYS = [
    Way(count, chunk, recomputed, order="shuffled" if (i + recomputed) % 2 else "given")
    for i, (count, chunk) in enumerate(itertools.product(BUDGETS, CHUNKS))
    for recomputed in (False, True)
]


def require_same(gradient, reference):
    """Within half the tolerance of the reference, so that any two ways are within all of it of each other."""
    assert relative_error(gradient, reference) < TOLERANCE / 2


# ---------------------------------------------------------------- the tests


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("mode", RL)
def test_every_policy_loss_has_the_gradient_of_its_formula(mode, aggregation):
    index = list(RL).index(mode) + AGGREGATIONS.index(aggregation)
    for way in FEW_WAYS[index % 2 :: 2]:
        require_same(rl_gradient_by(way, mode, aggregation), rl_reference(mode, aggregation))


@pytest.mark.parametrize("mode", SFT)
def test_every_supervised_loss_has_the_gradient_of_its_formula(mode):
    for way in FEW_WAYS:
        require_same(sft_gradient_by(way, mode), sft_reference(mode))


@pytest.mark.parametrize("way", ALL_WAYS, ids=str)
def test_no_way_to_take_a_step_changes_its_policy_gradient(way):
    require_same(rl_gradient_by(way, "everything", "seq-mean"), rl_reference("everything", "seq-mean"))


@pytest.mark.parametrize("way", ALL_WAYS, ids=str)
def test_no_way_to_take_a_step_changes_its_supervised_gradient(way):
    require_same(sft_gradient_by(way, "high-entropy"), sft_reference("high-entropy"))


@pytest.mark.parametrize("temperature", [0.7, 1.3])
def test_the_gradient_is_that_of_log_probabilities_at_the_sampling_temperature(temperature):
    for way in FEW_WAYS[::3]:
        gradient = rl_gradient_by(way, "everything", "token-mean", temperature)
        require_same(gradient, rl_reference("everything", "token-mean", temperature))


def test_every_loss_is_another_one():
    """Otherwise a setting that the trainer ignores would pass."""
    for references in (
        [rl_reference(mode, aggregation) for mode in RL for aggregation in AGGREGATIONS],
        [sft_reference(mode) for mode in SFT],
    ):
        for one, other in itertools.combinations(references, 2):
            assert relative_error(one, other) > 1e-3
