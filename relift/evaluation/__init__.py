"""What a set of held-out rollouts says: avg@k and pass@k with intervals, and difficulty bands."""

from relift.evaluation.scores import band, pass_at_k, wilson_interval
from relift.evaluation.summary import grouped, summarise

__all__ = ["band", "grouped", "pass_at_k", "summarise", "wilson_interval"]
