"""One question through all phases, in every run of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from relift.errors import LedgerError
from relift.ledger.project import open_project
from relift.records import question_id

TEXTS_PER_GROUP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryState:
    """How a question stands in one run, e.g. run ``"demo-0"``, split ``"train"``, state ``"learned"``."""

    run: str
    split: str
    gold_status: str
    state: str | None
    """As in the view ``hard_examples``; None where the gate never called it hardest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryAttempt:
    sample: int
    status: str
    answer: str | None
    reason: str
    text: str | None
    """None where the group holds a correct rollout: such texts are not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryGroup:
    """All rollouts of the question in one iteration.

    Example: accuracy 0.25, statuses ``(("wrong", 6), ("correct", 2))``.
    """

    run: str
    iteration: int
    purpose: str
    policy_version: int
    rollouts: int
    accuracy: float
    is_hardest: bool | None
    """None where the gate was not asked; so is ``is_control``."""
    is_control: bool | None
    statuses: tuple[tuple[str, int], ...]
    """Most frequent first."""
    samples: tuple[HistoryAttempt, ...]
    """The first few rollouts."""
    distance: int | None
    """Of a probe: iterations since its question was first taught, or a control would have been; else None."""
    is_taught: bool | None
    """Of a probe: whether its question was taught by then, or is a control; else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryDemonstration:
    run: str
    iteration: int
    id: str
    source: str
    text: str
    tokens: int
    cost_usd: float
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryUse:
    """The question was taught; NLL in nats per token of the demonstration. With ``prefix_tokens`` so many tokens of the
    demonstration were given before what was trained on, and none of it was."""

    run: str
    iteration: int
    kind: str
    version: int
    demonstration_id: str
    nll_before: float | None
    nll_after: float | None
    prefix_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLeaving:
    """Its demonstration left the buffer, e.g. reason ``"expired"``; ``"retired"`` after its last teaching."""

    run: str
    iteration: int
    demonstration_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionHistory:
    """All that the ledgers hold of one question; everything in order of run and iteration."""

    id: str
    text: str
    gold: str
    source: str
    states: tuple[HistoryState, ...]
    groups: tuple[HistoryGroup, ...]
    """Of every purpose: training, probes, evaluations and their confirmations."""
    demonstrations: tuple[HistoryDemonstration, ...]
    uses: tuple[HistoryUse, ...]
    leavings: tuple[HistoryLeaving, ...]


def question_history(store: Path, question: str) -> QuestionHistory:
    """The question with that id, that beginning of an id, that text, or the only one whose text holds it.

    Raises LedgerError with near matches when none or several fit.
    """
    with open_project(store) as connection:
        found = _identify(connection, question)
        text, gold, source = connection.execute(
            "SELECT text, answer, source FROM questions WHERE question_id = ? ORDER BY run LIMIT 1", [found]
        ).fetchone()
        return QuestionHistory(
            id=found,
            text=text,
            gold=gold,
            source=source,
            states=tuple(HistoryState(**row) for row in _rows(connection, _STATES, found)),
            groups=_groups(connection, found),
            demonstrations=tuple(HistoryDemonstration(**row) for row in _rows(connection, _DEMONSTRATIONS, found)),
            uses=tuple(HistoryUse(**row) for row in _rows(connection, _USES, found)),
            leavings=tuple(HistoryLeaving(**row) for row in _rows(connection, _LEAVINGS, found)),
        )


_STATES = """
    SELECT q.run, q.split, q.gold_status, h.state
    FROM questions q LEFT JOIN hard_examples h USING (run, question_id)
    WHERE q.question_id = ? ORDER BY q.run"""
_GROUPS = """
    SELECT
        g.run, g.iteration, g.purpose, g.policy_version, g.rollouts, g.accuracy, g.is_hardest, g.is_control,
        p.distance, p.is_taught
    FROM group_results g
    LEFT JOIN probes p
        ON g.purpose = 'probe' AND p.run = g.run AND p.iteration = g.iteration AND p.question_id = g.question_id
    WHERE g.question_id = ? ORDER BY g.run, g.iteration, g.policy_version, g.purpose"""
_ATTEMPTS = """
    SELECT run, iteration, purpose, sample, status, answer, reason, text
    FROM attempts WHERE question_id = ? ORDER BY run, iteration, purpose, sample"""
_DEMONSTRATIONS = """
    SELECT run, iteration, demonstration_id AS id, source, text, tokens, cost_usd, refusal
    FROM demonstrations WHERE question_id = ? ORDER BY run, iteration, id"""
_USES = """
    SELECT run, iteration, kind, version, demonstration_id, nll_before, nll_after, prefix_tokens
    FROM uses WHERE question_id = ? ORDER BY run, iteration, version"""
_LEAVINGS = """
    SELECT run, iteration, demonstration_id, reason
    FROM leavings WHERE question_id = ? ORDER BY run, iteration, reason"""

_NEAREST = """
    SELECT question_id, min(text) AS text FROM questions GROUP BY question_id
    ORDER BY greatest(jaro_winkler_similarity(question_id, $1), jaro_winkler_similarity(min(text), $1)) DESC, 1
    LIMIT 5"""


def _groups(connection: duckdb.DuckDBPyConnection, found: str) -> tuple[HistoryGroup, ...]:
    attempts: dict[tuple[object, ...], list[HistoryAttempt]] = {}
    for run, iteration, purpose, *rest in connection.execute(_ATTEMPTS, [found]).fetchall():
        sample, status, answer, reason, text = rest
        attempts.setdefault((run, iteration, purpose), []).append(
            HistoryAttempt(sample=sample, status=status, answer=answer, reason=reason, text=text)
        )
    return tuple(
        HistoryGroup(
            **row,
            statuses=_counted(attempts.get((row["run"], row["iteration"], row["purpose"]), [])),
            samples=tuple(attempts.get((row["run"], row["iteration"], row["purpose"]), [])[:TEXTS_PER_GROUP]),
        )
        for row in _rows(connection, _GROUPS, found)
    )


def _counted(attempts: Sequence[HistoryAttempt]) -> tuple[tuple[str, int], ...]:
    statuses = [attempt.status for attempt in attempts]
    return tuple(sorted(((s, statuses.count(s)) for s in set(statuses)), key=lambda pair: (-pair[1], pair[0])))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, found: str) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, [found])
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _identify(connection: duckdb.DuckDBPyConnection, question: str) -> str:
    """Id of the one question meant: whole text first, then the beginning of an id, then a part of a text."""
    asked = question.strip()
    matches: list[tuple[str, str]] = []
    if asked:
        matches = _matching(connection, "question_id = ?", question_id(asked))
        matches = matches or _matching(connection, "starts_with(question_id, ?)", asked.lower())
        matches = matches or _matching(connection, "contains(text, ?)", asked)
    if len(matches) == 1:
        return matches[0][0]
    if matches:
        raise LedgerError(
            f"{question!r} fits {len(matches)} questions; give more of the id. Among them:\n{_listed(matches)}"
        )
    near = connection.execute(_NEAREST, [asked]).fetchall()
    raise LedgerError(
        f"No question has the id, the beginning of an id or the text {question!r}. "
        + (f"The nearest are:\n{_listed(near)}" if near else "No published ledger holds any question yet.")
    )


def _matching(connection: duckdb.DuckDBPyConnection, condition: str, asked: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = connection.execute(
        f"SELECT question_id, min(text) FROM questions WHERE {condition} GROUP BY question_id ORDER BY question_id",
        [asked],
    ).fetchall()
    return found


def _listed(matches: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"  {found}  {' '.join(text.split())[:80]}" for found, text in matches[:5])
