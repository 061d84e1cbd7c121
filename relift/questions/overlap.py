"""Whether a text shares a long run of words with questions that are held out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from relift.records import Question

WORDS = 13
"""In a row, as GPT-3 was checked (arXiv 2005.14165, appendix C): shorter ones are common phrases of exercises."""
_WORD = re.compile(r"[^\W_]+")


class Overlaps:
    """The runs of 13 words of some held-out questions, to compare others with."""

    def __init__(self, held_out: Iterable[Question]) -> None:
        self._first: dict[int, str] = {}
        """By hash of the words: the first question that holds them."""
        for question in held_out:
            for gram in _grams(question.text):
                self._first.setdefault(gram, question.id)

    def with_text(self, text: str) -> str | None:
        """Id of the first held-out question with 13 of the text's words in a row; None where there is none.

        Words are compared without case, punctuation and markup. A text of fewer words shares none.
        """
        return next((self._first[gram] for gram in _grams(text) if gram in self._first), None)


def _grams(text: str) -> Iterable[int]:
    words = _WORD.findall(text.lower())
    return (hash(tuple(words[start : start + WORDS])) for start in range(len(words) - WORDS + 1))
