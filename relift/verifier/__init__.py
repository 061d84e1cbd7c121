"""Verdicts on completions and golds: extraction, exact comparison, math-verify in a killable process."""

from relift.verifier.extraction import AnswerForm, Extraction, extract
from relift.verifier.kinds import AnswerKind, Comparison
from relift.verifier.verifier import Verifier

__all__ = ["AnswerForm", "AnswerKind", "Comparison", "Extraction", "Verifier", "extract"]
