"""The tags around a model's reasoning, and what a prompt leaves of them: what grades, teaches and asks goes by this."""

from __future__ import annotations

from enum import Enum, auto

OPEN, CLOSE = "<think>", "</think>"


class Thinking(Enum):
    """What a completion begins with, as far as its prompt says."""

    UNSAID = auto()
    """The prompt holds no tag: the policy may open the reasoning itself, or write none."""
    OPENED = auto()
    """The prompt ends inside the reasoning, so a completion has to close it before it answers."""
    CLOSED = auto()
    """The prompt opens the reasoning and closes it: a completion is all answer."""


def thinking_of(opening: str) -> Thinking:
    """What the text that a prompt puts before the completion leaves, e.g. OPENED for ``"<|assistant|><think>\\n"``.

    ``opening`` is what stands after the question, so that a question that speaks of the tags decides nothing.
    """
    opened, closed = opening.rfind(OPEN), opening.rfind(CLOSE)
    if opened > closed:
        return Thinking.OPENED
    return Thinking.UNSAID if closed < 0 else Thinking.CLOSED


def without_reasoning(text: str) -> str:
    """What a completion says after its reasoning; all of it where it closes none."""
    return text.rpartition(CLOSE)[2].strip()


def opens_twice(opening: str) -> bool:
    """Whether it opens reasoning that is open already, as a template and a suffix do that both write the tag."""
    return any(part.count(OPEN) > 1 for part in opening.split(CLOSE))
