"""Text to token ids and back, so that nothing is added, lost or taken for something else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from relift.thinking import CLOSE, OPEN

ANCHORS = ("\n", "a", "0", ".")
"""Text to tokenise another one behind, where what stands before it would melt into its first token."""


@dataclass(frozen=True)
class Wording:
    """A tokenizer as the student uses it.

    Tokenizers that come from SentencePiece put a blank before a text that stands alone, and take one away from the
    front of what they decode. So a text is tokenised, and ids decoded, behind another text.
    """

    tokenizer: Any
    markup: frozenset[int] = frozenset()
    """Ids that the chat template writes around messages."""

    def encode(self, text: str) -> list[int]:
        """A text from its very beginning; special tokens that stand in it are read as such, none is added."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def encode_after(self, before: str, text: str) -> list[int]:
        """Ids of ``text`` as it goes on from ``before``, without changing the ids of that.

        Where the two melt into one token at their border it is tokenised behind another text; and alone where the
        tokenizer keeps its beginning behind none, as of characters that it does not know.
        """
        begins_alike: list[int] | None = None
        for anchor in filter(None, (before, *ANCHORS)):
            head, whole = self.encode(anchor), self.encode(anchor + text)
            read, wanted = self._raw(whole), self._raw(head) + text
            if whole[: len(head)] != head:
                continue
            if is_same(read, wanted):
                return whole[len(head) :]
            if begins_alike is None and read[: len(wanted) - len(text) + 1] == wanted[: len(wanted) - len(text) + 1]:
                begins_alike = whole[len(head) :]
        return self.encode(text) if begins_alike is None else begins_alike

    def decode(self, ids: Sequence[int]) -> str:
        """The text that these ids add to one before them, special tokens and blanks included."""
        head = self._head
        return self._raw([*head, *ids])[len(self._raw(head)) :] if head else self._raw(ids)

    @cached_property
    def control(self) -> dict[int, str]:
        """Text by id of the tokens that end or open a turn, or the whole text, whether called special or not.

        Not the tags of the reasoning, which are for the policy to write.
        """
        added = {number: token for number, token in self.tokenizer.added_tokens_decoder.items() if number >= 0}
        special = set(self.tokenizer.all_special_ids) | {n for n, token in added.items() if token.special}
        special |= added.keys() & self.markup
        texts = {number: str(self.tokenizer.convert_ids_to_tokens(number)) for number in special}
        return {number: text for number, text in texts.items() if text.strip() and text not in (OPEN, CLOSE)}

    @cached_property
    def size(self) -> int:
        """The largest id of a token, and 1."""
        return int(max(self.tokenizer.get_vocab().values())) + 1

    @cached_property
    def holes(self) -> tuple[int, ...]:
        """Smaller ids that are no token."""
        return tuple(sorted(set(range(self.size)) - set(self.tokenizer.get_vocab().values())))

    def control_text(self, text: str) -> str | None:
        """A control token that the tokenizer would read in a text; None where it reads none."""
        if not any(map(self._may_hold_control.search, (text, unicodedata.normalize("NFKC", text)))):
            return None
        return self.first_control(self.encode_after("", text), text)

    def first_control(self, ids: Sequence[int], text: str) -> str | None:
        """Of a text's ids; the token for unknown characters is one only where the text spells it out."""
        unknown = self.tokenizer.unk_token_id
        found = (self.control[i] for i in ids if i in self.control and (i != unknown or self.control[i] in text))
        return next(found, None)

    def borders(self, text: str) -> list[int]:
        """Where to cut a text so that no piece holds a control token whole: behind the first character of each."""
        behind = re.compile(f"(?=({self._may_hold_control.pattern}))", re.IGNORECASE)
        return [found.start() + 1 for found in behind.finditer(text)]

    def encode_as_plain_text(self, text: str, cuts: Sequence[int]) -> list[int]:
        """Ids of a text that is cut at some positions, so that no token reaches over one of them."""
        ends = [*cuts, len(text)]
        ids = self.encode(text[: ends[0]])
        for start, end in pairwise(ends):
            ids += self.encode_after("", text[start:end])
        return ids

    def count_control(self, ids: Sequence[int]) -> int:
        return sum(i in self.control for i in ids)

    def _raw(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def _may_hold_control(self) -> re.Pattern[str]:
        spelt = {unicodedata.normalize("NFKC", text) for text in self.control.values()}
        texts = sorted(spelt.union(self.control.values()), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, texts)) if texts else r"(?!)", re.IGNORECASE)

    @cached_property
    def _head(self) -> list[int]:
        """Ids to decode others behind; none where the tokenizer takes no blank away."""
        for anchor in ANCHORS:
            head, whole = self.encode(anchor), self.encode(f"{anchor} {anchor}")
            text, ids = self._raw(head), whole[len(head) :]
            if whole[: len(head)] == head and self._raw(whole) == f"{text} {anchor}" and self._raw(ids) != f" {anchor}":
                return head
        return []


def is_same(one: str, other: str) -> bool:
    """Up to the composition of characters, which tokenizers normalise."""
    return one == other or unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
