"""Scores of one question or one set of them; all in [0, 1]."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

Z_95 = 1.959963984540054


def pass_at_k(sample_count: int, correct_count: int, k: int) -> float:
    """Chance that k of the samples, drawn without replacement, hold a correct one.

    Unbiased for the k-sample success rate (Chen et al., arXiv 2107.03374). Exactly 1.0 when fewer than k samples are
    wrong. Raises ValueError when k exceeds sample_count: the quantity is then undefined, not 0.
    """
    if not 0 < k <= sample_count:
        raise ValueError(f"pass@{k} is undefined for {sample_count} samples")
    return 1.0 - math.comb(sample_count - correct_count, k) / math.comb(sample_count, k)


def wilson_interval(correct_count: float, count: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % by default. Valid for independent trials: one sample per question."""
    if count == 0:
        return 0.0, 1.0
    p = correct_count / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    # Where all or none are correct the exact end is 1 or 0, whatever rounding makes of it.
    return (0.0 if p == 0 else max(0.0, centre - half)), (1.0 if p == 1 else min(1.0, centre + half))


def mean_interval(accuracies: Sequence[float], k: int) -> tuple[float, float]:
    """95 % interval of the mean accuracy of questions with ``k`` samples each: over the questions one might have asked.

    Wilson's interval for as many independent trials as would make the mean as uncertain as the spread between the
    questions does (between one and k a question), with Student's quantile in place of the normal one. The spread counts
    two questions more, of the mean accuracy and fully apart, as Agresti and Coull count four trials more (1998): few
    questions that mostly agree have shown too little of it. For k = 1 it is Wilson's interval itself.

    Covers 0.933 to 1.0 where accuracies are 0 or 1 for most questions, spread over all shares, or all equal, for 10 to
    500 questions and k of 8 and 32 (a percentile bootstrap: 0.85 for 30 questions of 8).
    """
    count, mean = len(accuracies), statistics.fmean(accuracies)
    if k == 1 or count < 2:
        return wilson_interval(mean * count, count)
    trials = float(count)
    if 0 < mean < 1:
        centred = (mean * count + 1) / (count + 2)
        spread = math.fsum((a - mean) ** 2 for a in accuracies) + 2 * centred * (1 - centred)
        trials = mean * (1 - mean) * count * (count + 1) / spread
        trials = min(max(trials, float(count)), float(count * k))
    return wilson_interval(mean * trials, trials, z=student_quantile(count - 1))


def pass_interval(pass_at_k: float, questions: int) -> tuple[float, float]:
    """95 % interval of pass@k where k is the number of samples: a question then has one or none, one trial each."""
    return wilson_interval(pass_at_k * questions, questions)


def student_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t, within 0.2 %; exact for 1 and 2 degrees of freedom.

    The expansion of Abramowitz and Stegun (26.7.5) around the normal quantile beyond.
    """
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, n = Z_95, freedom
    return z + sum(
        (
            (z**3 + z) / 4 / n,
            (5 * z**5 + 16 * z**3 + 3 * z) / 96 / n**2,
            (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / n**3,
            (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160 / n**4,
        )
    )


def band(accuracy: float) -> str:
    """Difficulty of a question by its share of correct samples (as in arXiv 2506.07527, stated for 8 samples)."""
    if accuracy >= 6 / 8:
        return "easy"
    if accuracy >= 3 / 8:
        return "medium"
    return "hard" if accuracy > 0 else "hardest"
