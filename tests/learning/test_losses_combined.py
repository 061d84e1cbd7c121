"""Every combination of the policy loss's settings: against plain floats, split, doubled."""

import dataclasses
import itertools

import pytest
import torch
from losses_helpers import loss_of, made_up, plain_loss

from relift.config import CispoClipConfig, CispoConfig, CorrectionConfig, GspoConfig, KlConfig, PpoConfig

CLIPS = {"dual clip": (0.2, 0.28, 1.5), "clip": (0.2, 0.28, None), "no clip": None}
LOSSES = {
    **{
        f"{kind.model_fields['kind'].default}, {name}": kind(
            clip=bounds and dict(zip(("low", "high", "dual"), bounds, strict=True))
        )
        for kind in (PpoConfig, GspoConfig)
        for name, bounds in CLIPS.items()
    },
    "cispo": CispoConfig(clip=CispoClipConfig(low=0.4, high=0.5)),
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
            "loss": LOSSES[loss],
            "aggregation": aggregation,
            "kl": KLS[kl],
            "correction": CORRECTIONS[correction],
            "entropy_weight": 0.1,
        },
        id=f"{loss}, {aggregation}, {kl}, {correction}",
    )
    for loss, aggregation, kl, correction in itertools.product(
        LOSSES, ("token-mean", "seq-mean", "constant"), KLS, CORRECTIONS
    )
]
BATCH = made_up([5, 1, 3, 8, 0, 2, 4])
SPLITS = [[[i] for i in range(7)], [[6, 3], [0, 5, 1, 2], [4]]]


def sums(output):
    return torch.stack([output.tokens, *(output.metrics[name] for name in sorted(output.metrics))])


@pytest.mark.parametrize("settings", COMBINATIONS)
def test_every_combination_is_its_formula_and_adds_up_over_micro_batches(settings):
    whole, by_logprob, by_entropy = loss_of(BATCH, **settings)
    assert whole.loss.item() == pytest.approx(plain_loss(BATCH, **settings), rel=1e-12, abs=1e-12)
    terms = {
        "kl": settings["kl"],
        "correction_mean": settings["correction"],
        "bounded_fraction": settings["correction"],
    }
    assert whole.metrics.keys() == {"entropy", "clip_fraction", *(name for name, term in terms.items() if term)}
    assert not any(value.requires_grad for value in whole.metrics.values())
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
    for name, loss in LOSSES.items():
        clipped = loss_of(BATCH, loss=loss)[0].metrics["clip_fraction"].item()
        assert clipped == 0 if "no clip" in name else 0 < clipped < BATCH.counts.tokens, name
    for name, correction in CORRECTIONS.items():
        bounded = loss_of(BATCH, correction=correction)[0].metrics.get("bounded_fraction", torch.zeros(())).item()
        assert bounded == 0 if correction is None else 0 < bounded < BATCH.counts.tokens, name


def test_counts_are_of_the_whole_step_whatever_is_in_the_micro_batch():
    # Twice the tokens and sequences without anything added to the sums: skipped groups stay in the denominator.
    counts = BATCH.counts
    larger = dataclasses.replace(counts, tokens=2 * counts.tokens, sequences=2 * counts.sequences)
    for aggregation in ("token-mean", "seq-mean", "constant"):
        half, whole = (
            loss_of(BATCH, aggregation=aggregation, counts=given)[0].loss.item() for given in (larger, counts)
        )
        assert half == pytest.approx(whole / 2, rel=1e-12)
