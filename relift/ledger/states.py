"""The states of a hard question in words, as the view ``hard_examples`` names them."""

from __future__ import annotations

STATES = {
    "open": "never taught or solved: no teacher was asked or answered, or its demonstration left the buffer untaught",
    "no_teacher_solves_it": "teachers were asked, and nothing that they answered was admitted",
    "sourcing": "a teacher was asked and has not answered yet",
    "queued": "never taught, but an admitted demonstration waits for a supervised update",
    "regressed": "solved at some time after it was taught, but not by its latest rollouts",
    "taught": "taught, and not solved since, perhaps because it was not sampled since",
    "retired": "taught as often as the run allows, and not solved since the last time",
    "learned": "taught, and its latest rollouts since then hold a correct one",
    "solved": "never taught, and its latest rollouts hold a correct one: RL alone got there",
    "control": "kept from teaching, to compare with",
}
"""In the order of what is still to be done: what wants a solution first."""
