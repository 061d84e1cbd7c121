"""The hard questions of some runs with their verified demonstrations, checked against what is held out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from relift.errors import LedgerError
from relift.ledger.project import open_project
from relift.ledger.runs import RunFacts, answer_form_of, known_runs
from relift.ledger.states import STATES
from relift.questions.overlap import Overlaps
from relift.records import Question

LENT_SPLITS = ("train", "harvest", "import")
"""Splits whose questions may be taught; every other one is the name of something held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a question stands in one run, e.g. run ``"demo-0"``, state ``"learned"``, unsolved in 3 of 5 samplings."""

    run: str
    state: str
    times_sampled: int
    times_unsolved: int
    times_taught: int
    last_accuracy: float
    """Share of correct rollouts when it was last sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """An admitted demonstration."""

    demonstration_id: str
    text: str
    source: str
    tokens: int
    """By the tokenizer of the student it was admitted for."""
    answer_form: str
    """Where its final answer stands, of the run that admitted it: boxed, hashes, equals; empty where not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardQuestion:
    id: str
    text: str
    gold: str
    source: str
    standings: tuple[Standing, ...]
    """By run."""
    solutions: tuple[Solution, ...]
    """By id; empty where nobody has solved it."""

    @property
    def state(self) -> str:
        """Of several runs the one that wants most, in the order of ``STATES``."""
        order = list(STATES)
        return min((s.state for s in self.standings), key=lambda s: (order.index(s) if s in order else len(order), s))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A question kept back, e.g. reason ``"held out"``, or ``"13 words in a row"`` with the held-out question's id."""

    id: str
    held_out_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HardSet:
    questions: tuple[HardQuestion, ...]
    """By id."""
    runs: tuple[RunFacts, ...]
    held_out_count: int
    """Held-out and benchmark questions of all ledgers, that the set was compared with."""
    left_out: tuple[LeftOut, ...]


def read_hard_set(store: Path, *, runs: Sequence[str] = (), states: Collection[str] = ()) -> HardSet:
    """The hard questions of the named runs (all when none is named) that stand in one of the states in one of them.

    Demonstrations come from every run of the project, harvests and imports included, the admitted ones alone. Raises
    LedgerError for runs and states that are not there.
    """
    with open_project(store) as connection:
        facts = known_runs(connection, runs)
        _check_states(states)
        questions = _questions(connection, [fact.run for fact in facts], states)
        kept, left_out, held_out_count = _without_held_out(connection, questions)
    return HardSet(questions=tuple(kept), runs=tuple(facts), held_out_count=held_out_count, left_out=tuple(left_out))


def held_out_questions(connection: duckdb.DuckDBPyConnection) -> dict[str, Question]:
    """Every question that a run holds out or evaluates on, by id."""
    placeholders = ", ".join("?" for _ in LENT_SPLITS)
    rows = connection.execute(
        f"SELECT question_id, min(text), min(answer), min(source) FROM questions WHERE split NOT IN ({placeholders}) "
        f"GROUP BY question_id ORDER BY question_id",
        list(LENT_SPLITS),
    ).fetchall()
    return {id_: Question(id=id_, text=text, answer=answer, source=source) for id_, text, answer, source in rows}


def _questions(
    connection: duckdb.DuckDBPyConnection, runs: Sequence[str], states: Collection[str]
) -> list[HardQuestion]:
    hard: dict[str, tuple[str, str, str]] = {}
    standings: dict[str, list[Standing]] = {}
    for id_, text, gold, source, *standing in connection.execute(
        "SELECT question_id, text, gold, source, run, state, times_sampled, times_unsolved, times_taught, "
        "last_accuracy FROM hard_examples WHERE list_contains(?, run) AND text IS NOT NULL ORDER BY question_id, run",
        [list(runs)],
    ).fetchall():
        hard.setdefault(id_, (text, gold, source))
        names = ("run", "state", "times_sampled", "times_unsolved", "times_taught", "last_accuracy")
        standings.setdefault(id_, []).append(Standing(**dict(zip(names, standing, strict=True))))
    solutions = _solutions(connection)
    return [
        HardQuestion(
            id=id_,
            text=text,
            gold=gold,
            source=source,
            standings=tuple(standings[id_]),
            solutions=tuple(solutions.get(id_, ())),
        )
        for id_, (text, gold, source) in hard.items()
        if not states or any(standing.state in states for standing in standings[id_])
    ]


def _solutions(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Solution]]:
    """The admitted demonstrations by question; one that several runs hold comes once."""
    forms = {
        run: answer_form_of(config)
        for run, config in connection.execute("SELECT run, config_json FROM runs").fetchall()
    }
    found: dict[str, list[Solution]] = {}
    for question, id_, text, source, tokens, run in connection.execute(
        "SELECT question_id, demonstration_id, min_by(text, run), min_by(source, run), min_by(tokens, run), min(run) "
        "FROM demonstrations WHERE refusal IS NULL AND kind = 'solution' GROUP BY question_id, demonstration_id "
        "ORDER BY question_id, demonstration_id"
    ).fetchall():
        form = forms.get(run, "")
        found.setdefault(question, []).append(
            Solution(demonstration_id=id_, text=text, source=source, tokens=tokens, answer_form=form)
        )
    return found


def _without_held_out(
    connection: duckdb.DuckDBPyConnection, questions: Sequence[HardQuestion]
) -> tuple[list[HardQuestion], list[LeftOut], int]:
    held_out = held_out_questions(connection)
    overlaps = Overlaps(held_out.values())
    kept, left_out = [], []
    for question in questions:
        if question.id in held_out:
            left_out.append(LeftOut(id=question.id, held_out_id=question.id, reason="held out"))
        elif (other := overlaps.with_text(question.text)) is not None:
            left_out.append(LeftOut(id=question.id, held_out_id=other, reason="13 words in a row"))
        else:
            kept.append(question)
    return kept, left_out, len(held_out)


def _check_states(states: Collection[str]) -> None:
    unknown = sorted(set(states) - set(STATES))
    if unknown:
        raise LedgerError(f"There is no state {unknown[0]!r} of a hard question. There are: {', '.join(STATES)}.")
