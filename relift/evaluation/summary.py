"""From groups of held-out rollouts to one result per benchmark."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from relift import randomness
from relift.evaluation.scores import band, pass_at_k, wilson_interval
from relift.records import EvalResult, FinishReason, RolloutGroup

BOOTSTRAP_DRAWS = 2000


def grouped(groups: Iterable[RolloutGroup]) -> list[tuple[str, list[RolloutGroup]]]:
    """The groups by benchmark (the questions' source), in the order they first appear."""
    benchmarks: dict[str, list[RolloutGroup]] = {}
    for group in groups:
        benchmarks.setdefault(group.question.source, []).append(group)
    return list(benchmarks.items())


def summarise(benchmark: str, groups: Sequence[RolloutGroup], version: int, iteration: int) -> EvalResult:
    """avg@k and pass@k with a 95 % interval of avg@k: Wilson's for one sample per question, a bootstrap over questions
    for more, since samples of one question are not independent trials."""
    k = len(groups[0].rollouts)
    accuracies = [group.accuracy for group in groups]
    completions = [rollout.completion for group in groups for rollout in group.rollouts]
    if k == 1 or len(set(accuracies)) == 1:
        # Where all questions agree a bootstrap sees no spread at all: one trial per question is the careful reading.
        low, high = wilson_interval(round(sum(accuracies)), len(accuracies))
    else:
        low, high = _bootstrap_interval(benchmark, accuracies)
    return EvalResult(
        benchmark=benchmark,
        version=version,
        iteration=iteration,
        questions=len(groups),
        k=k,
        avg_at_k=statistics.fmean(accuracies),
        pass_at_k=statistics.fmean(pass_at_k(k, round(a * k), k) for a in accuracies),
        low=low,
        high=high,
        bands=dict(Counter(band(a) for a in accuracies)),
        mean_tokens=statistics.fmean(len(c.token_ids) for c in completions),
        truncated=sum(c.finish_reason is FinishReason.LENGTH for c in completions),
    )


def _bootstrap_interval(benchmark: str, accuracies: Sequence[float]) -> tuple[float, float]:
    values = np.asarray(accuracies)
    rng = randomness.generator(0, "bootstrap", benchmark)
    means = values[rng.integers(len(values), size=(BOOTSTRAP_DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
