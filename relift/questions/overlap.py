"""Whether a text shares a long run of words, or most of its words, with questions that are held out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

from relift.records import Question

WORDS = 13
"""In a row, as GPT-3 was checked (arXiv 2005.14165, appendix C): shorter ones are common phrases of exercises."""
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")

Token = tuple[str, int]
"""A word and how often it came before in its text: as sets of these, texts are compared with their repeats."""


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


class NearDuplicates:
    """Some held-out questions, to find others that say nearly the same in them, whatever their numbers.

    By the Jaccard similarity of their words with repeats (shared ones over all), in [0, 1], where all numbers are one
    word. Texts that are similar enough share one of their rarest words, so that only those are compared (prefix
    filtering: Chaudhuri et al., ICDE 2006).
    """

    def __init__(self, held_out: Sequence[Question], *, similarity: float) -> None:
        self._similarity = similarity
        self._texts = [(question, frozenset(_tokens(question.text))) for question in held_out]
        self._count = Counter(token for _, tokens in self._texts for token in tokens)
        self._with: dict[Token, list[int]] = {}
        for index, (_, tokens) in enumerate(self._texts):
            for token in self._rarest(tokens):
                self._with.setdefault(token, []).append(index)

    def of(self, text: str) -> Question | None:
        """The held-out question most similar to the text, the first of equals; None where none is similar enough."""
        tokens = frozenset(_tokens(text))
        near = {index for token in self._rarest(tokens) for index in self._with.get(token, ())}
        found = [(_jaccard(tokens, self._texts[index][1]), -index) for index in near]
        most, index = max(found, default=(0.0, 0))
        return self._texts[-index][0] if found and most >= self._similarity else None

    def _rarest(self, tokens: frozenset[Token]) -> list[Token]:
        """So many that another text, where it is similar enough, has one of them among its own."""
        shared = ceil(self._similarity * len(tokens) - 1e-9)
        return sorted(tokens, key=lambda token: (self._count[token], token))[: len(tokens) - shared + 1]


def _grams(text: str) -> Iterable[int]:
    words = _WORD.findall(text.lower())
    return (hash(tuple(words[start : start + WORDS])) for start in range(len(words) - WORDS + 1))


def _tokens(text: str) -> Iterable[Token]:
    seen: Counter[str] = Counter()
    for word in _WORD.findall(_NUMBER.sub("0", text.lower())):
        yield word, seen[word]
        seen[word] += 1


def _jaccard(one: frozenset[Token], other: frozenset[Token]) -> float:
    return len(one & other) / max(1, len(one | other))
