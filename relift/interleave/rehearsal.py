"""Demonstrations that were taught, which later supervised updates may train on again (``sft.rehearse``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator


class RehearsalPool:
    """The ``capacity`` demonstrations that were taught last, one of each question; keeps none where none is drawn."""

    def __init__(self, *, draws: int, capacity: int) -> None:
        self._draws = draws
        self._capacity = capacity
        self._entries: dict[str, tuple[str, str]] = {}

    def add(self, taught: Iterable[tuple[str, str, str]]) -> None:
        """(question id, demonstration id, text) of a supervised update; an older one of the question makes way."""
        if not self._draws:
            return
        for question, demonstration, text in taught:
            self._entries.pop(question, None)
            self._entries[question] = (demonstration, text)
        for question in list(self._entries)[: max(0, len(self._entries) - self._capacity)]:
            del self._entries[question]

    def draw(self, rng: Generator, *, without: Iterable[str] = ()) -> list[tuple[str, str, str]]:
        """At most ``draws`` of them, as ``add`` took them, none of the questions ``without``: those taught just now."""
        taught_now = frozenset(without)
        found = [(question, *entry) for question, entry in self._entries.items() if question not in taught_now]
        drawn = rng.choice(len(found), size=min(self._draws, len(found)), replace=False) if found else ()
        return [found[index] for index in drawn]

    def to_json(self) -> dict[str, list[str]]:
        return {question: list(entry) for question, entry in self._entries.items()}

    def restore(self, tree: Mapping[str, Iterable[str]]) -> None:
        """Become the pool that the JSON was made of."""
        self._entries = {question: (demonstration, text) for question, (demonstration, text) in tree.items()}
