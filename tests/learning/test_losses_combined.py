"""Every combination of the policy loss's settings: against plain floats, split, doubled."""

import itertools

import pytest
import torch
from losses_helpers import loss_of, made_up, plain_loss

from relift.config import ClipConfig, CorrectionConfig, KlConfig
from relift.learning import Counts

SURROGATES = {
    "dual clip": {"surrogate": "ppo", "clip": ClipConfig(low=0.2, high=0.28, dual=1.5)},
    "clip": {"surrogate": "ppo", "clip": ClipConfig(low=0.2, high=0.28, dual=None)},
    "no clip": {"surrogate": "ppo", "clip": None},
    "cispo": {"surrogate": "cispo", "clip": ClipConfig(low=0.4, high=0.5, dual=None)},
}
CORRECTIONS = {
    "uncorrected": None,
    **{
        f"{level} {mode}": CorrectionConfig(level=level, mode=mode, high=1.5)
        for level in ("token", "sequence")
        for mode in ("truncate", "mask")
    },
    "token band": CorrectionConfig(level="token", mode="mask", low=0.7, high=1.5),
}
KLS = {"no kl": None, **{k: KlConfig(weight=0.3, estimator=k) for k in ("k1", "k2", "k3")}}
COMBINATIONS = [
    pytest.param(
        {
            "ratio": ratio,
            **SURROGATES[surrogate],
            "aggregation": aggregation,
            "kl": KLS[kl],
            "correction": CORRECTIONS[correction],
            "entropy_weight": 0.1,
        },
        id=f"{ratio}, {surrogate}, {aggregation}, {kl}, {correction}",
    )
    for ratio, surrogate, aggregation, kl, correction in itertools.product(
        ("token", "sequence"), SURROGATES, ("token-mean", "seq-mean", "constant"), KLS, CORRECTIONS
    )
]
BATCH = made_up([5, 1, 3, 8, 0, 2, 4])
SPLITS = [[[i] for i in range(7)], [[6, 3], [0, 5, 1, 2], [4]]]


def sums(output):
    figures = (output.tokens, output.entropy_sum, output.clipped_tokens)
    return torch.stack([*figures, output.kl_sum, output.correction_sum, output.bounded_tokens])


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_every_combination_is_its_formula_and_adds_up_over_micro_batches(settings):
    whole, by_logprob, by_entropy = loss_of(BATCH, **settings)
    assert whole.loss.item() == pytest.approx(plain_loss(BATCH, **settings), rel=1e-12, abs=1e-12)
    assert not any(t.requires_grad for t in (whole.entropy_sum, whole.kl_sum, whole.correction_sum))
    rows = torch.split(by_logprob, [len(row) for row in BATCH.new])
    rows_entropy = torch.split(by_entropy, [len(row) for row in BATCH.new])
    for split in SPLITS:
        parts = [loss_of(BATCH.of(part), counts=BATCH.counts, **settings) for part in split]
        torch.testing.assert_close(sum(p[0].loss for p in parts), whole.loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(sum(sums(p[0]) for p in parts), sums(whole), rtol=1e-12, atol=1e-12)
        for part, (_, gradient, entropy_gradient) in zip(split, parts, strict=True):
            want, want_entropy = torch.cat([rows[i] for i in part]), torch.cat([rows_entropy[i] for i in part])
            torch.testing.assert_close(gradient, want, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(entropy_gradient, want_entropy, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("settings", COMBINATIONS[::7])
def test_doubling_the_batch_with_copies_leaves_the_loss_unchanged(settings):
    once, gradient, _ = loss_of(BATCH, **settings)
    twice, halves, _ = loss_of(BATCH.of([*range(7), *range(7)]), **settings)
    torch.testing.assert_close(twice.loss, once.loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(2 * halves[: len(gradient)], gradient, rtol=1e-12, atol=1e-12)


def test_the_made_up_batch_meets_every_bound():
    for name, settings in SURROGATES.items():
        clipped = loss_of(BATCH, **settings)[0].clipped_tokens.item()
        assert clipped == 0 if name == "no clip" else 0 < clipped < BATCH.counts.tokens, name
    for name, correction in CORRECTIONS.items():
        bounded = loss_of(BATCH, correction=correction)[0].bounded_tokens.item()
        assert bounded == 0 if correction is None else 0 < bounded < BATCH.counts.tokens, name


def test_counts_are_of_the_whole_step_whatever_is_in_the_micro_batch():
    # Twice the tokens and sequences without anything added to the sums: skipped groups stay in the denominator.
    counts = BATCH.counts
    larger = Counts(tokens=2 * counts.tokens, sequences=2 * counts.sequences)
    for aggregation in ("token-mean", "seq-mean", "constant"):
        half, whole = (
            loss_of(BATCH, aggregation=aggregation, counts=given)[0].loss.item() for given in (larger, counts)
        )
        assert half == pytest.approx(whole / 2, rel=1e-12)
