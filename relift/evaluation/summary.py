"""From groups of held-out rollouts to one result per benchmark."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from relift.evaluation.scores import band, mean_interval, pass_at_k
from relift.records import EvalResult, FinishReason, RolloutGroup


def grouped(groups: Iterable[RolloutGroup]) -> list[tuple[str, list[RolloutGroup]]]:
    """The groups by benchmark (the questions' source), in the order they first appear."""
    benchmarks: dict[str, list[RolloutGroup]] = {}
    for group in groups:
        benchmarks.setdefault(group.question.source, []).append(group)
    return list(benchmarks.items())


def summarise(benchmark: str, groups: Sequence[RolloutGroup], version: int, iteration: int) -> EvalResult:
    """avg@k and pass@k with a 95 % interval of avg@k over questions, since samples of one question are not independent
    trials."""
    k = len(groups[0].rollouts)
    accuracies = [group.accuracy for group in groups]
    completions = [rollout.completion for group in groups for rollout in group.rollouts]
    low, high = mean_interval(accuracies, k)
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
