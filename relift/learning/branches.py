"""Prompts once: sequences that begin alike share their beginning in a pack.

    three rollouts of one question       p p p a a x   p p p b b b x   p p p x
    laid out plainly                     p p p a a x   p p p b b b x   p p p x
    shared                               p p p   a a   b b b

A branch attends to the prompt and to itself; its positions go on where the prompt's end. The prompt's last token
predicts the first token of every branch. The last token in the loss (x) predicts nothing, so it is left out: all that
depends on it is never read. The mathematics is that of whole sequences; only sums are rounded otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relift.records import TrainingSequence

ATTENTION_TOKENS = 8192
"""Length at which a sequence costs as much in attention as in all else: 12 times a hidden width of a few hundred.

It only decides how evenly the work is spread, and hardly that: lengths well below it cost about their tokens.
"""
LEAST_SAVED = 16
"""Tokens that sharing has to save: below that, one more run of tokens for attention to look after costs as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Neighbours in a pack that belong to one sequence, and where the tokens before them lie.

    Example: tokens 24 to 60 of the pack, after a prompt at 0 to 24: start 24, stop 60, prefix_start 0, prefix_stop 24.
    """

    start: int
    stop: int
    prefix_start: int = 0
    prefix_stop: int = 0
    """Equal to ``prefix_start`` where nothing comes before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Sequences that lie together in a pack, e.g. indices (4, 7), stops (60, 74), prefix 24: 110 tokens."""

    indices: tuple[int, ...]
    """In the list of all sequences, the longest first."""
    stops: tuple[int, ...]
    """How many tokens of each sequence, from its first on, are in the pack."""
    prefix: int
    """Tokens at the beginning that all of them have and that lie in the pack once; 0 for a sequence alone."""

    @property
    def tokens(self) -> int:
        return self.prefix + sum(stop - self.prefix for stop in self.stops)

    @property
    def cost(self) -> float:
        """In tokens of a short sequence: linear layers grow with the tokens, attention with the square of a length."""
        return self.tokens + sum(stop * stop for stop in self.stops) / ATTENTION_TOKENS


def families(sequences: Sequence[TrainingSequence], max_tokens: int) -> list[Family]:
    """The sequences with those together that have the same tokens before the first one in the loss.

    In order of first appearance. One that is longer than ``max_tokens`` comes in parts, each with the prefix.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, sequence in enumerate(sequences):
        alike.setdefault(sequence.token_ids[: _first(sequence)], []).append(i)
    made: list[Family] = []
    for beginning, members in alike.items():
        if len(beginning) * (len(members) - 1) >= LEAST_SAVED:
            made.extend(_parts(members, len(beginning), sequences, max_tokens))
        else:
            made.extend(_family([i], 0, sequences) for i in members)
    return made


def alone(sequences: Iterable[TrainingSequence]) -> list[Family]:
    """Every sequence whole and for itself."""
    return [Family(indices=(i,), stops=(len(s.token_ids),), prefix=0) for i, s in enumerate(sequences)]


def _first(sequence: TrainingSequence) -> int:
    return sequence.loss_mask.index(1) if 1 in sequence.loss_mask else 0


def _needed(sequence: TrainingSequence) -> int:
    """Tokens, from the first on, that a token in the loss depends on: those before the last one in the loss."""
    behind = sequence.loss_mask[::-1].index(1) if 1 in sequence.loss_mask else len(sequence.loss_mask)
    return max(1, len(sequence.loss_mask) - 1 - behind)


def _parts(members: list[int], prefix: int, sequences: Sequence[TrainingSequence], max_tokens: int) -> list[Family]:
    """Each member, longest first, to the first part with space for what it has beyond the prefix."""
    parts: list[list[int]] = []
    budgets: list[int] = []
    for i in sorted(members, key=lambda i: -_needed(sequences[i])):  # stable
        own = _needed(sequences[i]) - prefix
        part = next((part for part, free in enumerate(budgets) if free >= own), len(parts))
        if part == len(parts):
            parts.append([])
            budgets.append(max_tokens - prefix)
        parts[part].append(i)
        budgets[part] -= own
    return [_family(part, prefix if len(part) > 1 else 0, sequences) for part in parts]


def _family(members: Sequence[int], prefix: int, sequences: Sequence[TrainingSequence]) -> Family:
    return Family(indices=tuple(members), stops=tuple(_needed(sequences[i]) for i in members), prefix=prefix)
