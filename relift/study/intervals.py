"""Intervals and p values of paired differences between two methods.

Over seeds, from four of them on: Student's t of the seeds' mean differences, which covers what another seed would show.
Over questions, with fewer: a normal theory of the questions' differences within each seed, *given these seeds*; what
another seed would do to the training is not in it.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

LEAST_SEEDS = 4
"""For an interval over seeds: with three it is 2.5 times the standard deviation to either side."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Mean 0.24 in 95 % of 0.20 to 0.28, e.g. p 0.0002 of no difference, over ``"seeds"``."""

    mean: float
    low: float
    high: float
    p: float
    over: Literal["seeds", "questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A held-out question under one seed, e.g. benchmark ``"mul2"``, value 1.0: a share, or a difference of two."""

    question: str
    benchmark: str
    value: float


def interval_of(by_seed: Mapping[int, Sequence[Measured]]) -> Interval:
    """Of the mean over the seeds of the mean over the benchmarks of the mean over their questions."""
    means = [_mean(measured) for measured in by_seed.values()]
    if len(means) >= LEAST_SEEDS:
        return over_seeds(means)
    return _over_questions(by_seed, statistics.fmean(means))


def over_seeds(values: Sequence[float]) -> Interval:
    """Student's t of independent values, at least two."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return _around(statistics.fmean(values), error, len(values) - 1, "seeds")


def _over_questions(by_seed: Mapping[int, Sequence[Measured]], mean: float) -> Interval:
    """A question that several seeds ask is one observation: its deviations are added before they are squared.

    Two questions more are counted, fully apart and in opposite directions, as Bonett and Price count them for paired
    proportions (2012): few questions that all agree have shown too little of their spread.
    """
    deviations: dict[str, float] = defaultdict(float)
    benchmarks = 0
    for measured in by_seed.values():
        values = _by_benchmark(measured)
        benchmarks = max(benchmarks, len(values))
        centre = {name: statistics.fmean(found) for name, found in values.items()}
        for each in measured:
            weight = len(by_seed) * len(values) * len(values[each.benchmark])
            deviations[each.question] += (each.value - centre[each.benchmark]) / weight
    count = len(deviations)
    freedom = max(1, count - benchmarks)
    squares = math.fsum(deviation**2 for deviation in deviations.values()) * count / freedom
    return _around(mean, math.sqrt(squares + 2 / count**2), freedom, "questions")


def _around(mean: float, error: float, freedom: int, over: Literal["seeds", "questions"]) -> Interval:
    if error == 0:
        return Interval(mean=mean, low=mean, high=mean, p=float(mean == 0), over=over)
    half = student_quantile((1 + LEVEL) / 2, freedom) * error
    return Interval(mean=mean, low=mean - half, high=mean + half, p=two_sided_p(mean / error, freedom), over=over)


def _mean(measured: Sequence[Measured]) -> float:
    return statistics.fmean(statistics.fmean(values) for values in _by_benchmark(measured).values())


def _by_benchmark(measured: Sequence[Measured]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for each in measured:
        values[each.benchmark].append(each.value)
    return values


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for being several, in the order they came (Holm 1979): the smallest times all, the next times the rest,
    none below the one before it and none above 1."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def two_sided_p(t: float, freedom: float) -> float:
    """Chance of a Student's t as far from 0, in either direction."""
    return _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


@cache
def student_quantile(share: float, freedom: float) -> float:
    """The t that this share, above a half, of Student's distribution lies below."""
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > 2 * (1 - share):
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, freedom) > 2 * (1 - share) else (low, middle)
    return high


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised, by its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22)."""
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    fraction = 0.0
    for m in range(200, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = odd / (1 + even / (1 + fraction))
    return math.exp(log_front) / a / (1 + fraction)
