"""What a set of held-out rollouts says: avg@k and pass@k with intervals, and difficulty bands."""

from relift.evaluation.scores import band, mean_interval, pass_at_k, pass_interval, wilson_interval
from relift.evaluation.summary import grouped, summarise

__all__ = ["band", "grouped", "mean_interval", "pass_at_k", "pass_interval", "summarise", "wilson_interval"]
