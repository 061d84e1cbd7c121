"""Whether two texts are one question in two spellings."""

from __future__ import annotations

import unicodedata

_KEPT_SIGNS = frozenset("+-*/^=<>|!%")


def spelling(text: str) -> str:
    """The text without case, blanks, markup and punctuation; signs of mathematics stay.

    Two spellings of a question stand on one side of the held-out split by it, and it finds questions of a benchmark in
    other spellings. It is no identity: ``f(2,3)`` and ``f(23)`` are one to it, which costs either use next to nothing,
    so an id is ``question_id(text)``, which keeps all but blanks.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("**", "")  # bold
    kept = "".join(c for c in folded if c.isalnum() or c in _KEPT_SIGNS or unicodedata.category(c) == "Sm")
    return kept or "".join(folded.split())
