"""Scores of one question or one set of them; all in [0, 1]."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054


def pass_at_k(sample_count: int, correct_count: int, k: int) -> float:
    """Chance that k of the samples, drawn without replacement, hold a correct one.

    Unbiased for the k-sample success rate (Chen et al., arXiv 2107.03374). Exactly 1.0 when fewer than k samples are
    wrong. Raises ValueError when k exceeds sample_count: the quantity is then undefined, not 0.
    """
    if not 0 < k <= sample_count:
        raise ValueError(f"pass@{k} is undefined for {sample_count} samples")
    return 1.0 - math.comb(sample_count - correct_count, k) / math.comb(sample_count, k)


def wilson_interval(correct_count: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % by default. Valid for independent trials: one sample per question."""
    if count == 0:
        return 0.0, 1.0
    p = correct_count / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    # Where all or none are correct the exact end is 1 or 0; rounding must not put it outside.
    return max(0.0, centre - half), min(1.0, centre + half)


def band(accuracy: float) -> str:
    """Difficulty of a question by its share of correct samples (method note, section 9, stated for 8 samples)."""
    if accuracy >= 6 / 8:
        return "easy"
    if accuracy >= 3 / 8:
        return "medium"
    return "hard" if accuracy > 0 else "hardest"
