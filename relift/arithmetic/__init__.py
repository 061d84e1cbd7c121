"""The embedded default: arithmetic questions, a character tokenizer and a small trained base model.

Families, questions and the split are torch-free; the model is loaded only by whoever asks for it.
"""

from __future__ import annotations

from pathlib import Path

from relift.arithmetic.families import FAMILIES, Family, Kind, Worked, family
from relift.arithmetic.questions import arithmetic_questions, held_out_questions, is_held_out

__all__ = [
    "FAMILIES",
    "Family",
    "Kind",
    "Worked",
    "arithmetic_questions",
    "base_folder",
    "family",
    "held_out_questions",
    "is_held_out",
]


def base_folder() -> Path:
    """The committed base model: a Hugging Face folder with weights, tokenizer and ORIGIN.json."""
    return Path(__file__).parent / "base"
