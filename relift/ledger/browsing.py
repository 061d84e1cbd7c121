"""All that a person wants to see of the hard questions, read in a few passes over the ledgers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from relift.ledger.project import open_project
from relift.ledger.runs import known_runs

MOST_QUESTIONS = 10_000
ATTEMPTS_SHOWN = 4
"""Of a question in a run: the latest whose text is kept."""
DEMONSTRATIONS_SHOWN = 4
"""Of a question in a run, the admitted before the refused."""

_STANDING = ("times_sampled", "times_unsolved", "times_taught", "last_accuracy")
_SHOWN = ("run", "question_id", "state", "text", "gold", "source", *_STANDING)
Key = tuple[str, str]
"""Run and question id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """A group, e.g. iteration 7, purpose ``"train"``, 0 of 8 correct, statuses ``(("wrong", 8),)``."""

    iteration: int
    purpose: str
    policy_version: int
    rollouts: int
    correct: int
    is_hardest: bool
    statuses: tuple[tuple[str, int], ...]
    """Most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    iteration: int
    purpose: str
    sample: int
    status: str
    answer: str | None
    decided_by: str
    reason: str
    tokens: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A demonstration that was offered; admitted where ``refusal`` is None."""

    run: str
    iteration: int
    source: str
    text: str
    tokens: int
    cost_usd: float
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One update that taught the question; NLL in nats per token, None where it was not measured."""

    iteration: int
    version: int
    nll_before: float | None
    nll_after: float | None
    kind: str
    prefix_tokens: int | None
    """So many tokens of the demonstration were given before what was trained on; None where it was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardEntry:
    """A hard question in one run."""

    run: str
    question_id: str
    state: str
    text: str
    gold: str
    source: str
    times_sampled: int
    times_unsolved: int
    times_taught: int
    last_accuracy: float
    samplings: tuple[Sampling, ...]
    attempts: tuple[Attempt, ...]
    """Some, of groups without a correct rollout: other texts are not kept."""
    offers: tuple[Offer, ...]
    lessons: tuple[Lesson, ...]
    leavings: tuple[tuple[int, str], ...]
    """(iteration, reason) of leaving the buffer untaught."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardEntries:
    entries: tuple[HardEntry, ...]
    """Most often unsolved first."""
    total: int
    """How many there are; more than ``entries`` where there were too many for one page."""


def read_entries(store: Path, *, runs: Sequence[str] = (), most: int = MOST_QUESTIONS) -> HardEntries:
    """The hard questions of the named runs, of all when none is named. Raises LedgerError for an unknown run."""
    with open_project(store) as connection:
        names = [fact.run for fact in known_runs(connection, runs)]
        connection.execute(
            f"CREATE TEMP TABLE shown AS SELECT {', '.join(_SHOWN)}, count(*) OVER () AS total FROM hard_examples "
            "WHERE list_contains(?, run) AND text IS NOT NULL "
            "ORDER BY times_unsolved DESC, run, question_id LIMIT ?",
            [names, most],
        )
        samplings, attempts, offers = _samplings(connection), _attempts(connection), _offers(connection)
        lessons, leavings = _lessons(connection), _leavings(connection)
        rows = connection.execute("SELECT * FROM shown ORDER BY times_unsolved DESC, run, question_id").fetchall()
    return HardEntries(
        entries=tuple(
            HardEntry(
                **dict(zip(_SHOWN, row[:-1], strict=True)),
                samplings=tuple(samplings[row[:2]]),
                attempts=tuple(attempts[row[:2]]),
                offers=tuple(offers[row[:2]]),
                lessons=tuple(lessons[row[:2]]),
                leavings=tuple(leavings[row[:2]]),
            )
            for row in rows
        ),
        total=rows[0][-1] if rows else 0,
    )


def _samplings(connection: duckdb.DuckDBPyConnection) -> dict[Key, list[Sampling]]:
    statuses: dict[tuple[Any, ...], list[tuple[str, int]]] = defaultdict(list)
    for run, question, iteration, purpose, status, count in connection.execute(
        "SELECT run, question_id, iteration, purpose, status, count(*) AS rollouts FROM plain_attempts "
        "SEMI JOIN shown USING (run, question_id) GROUP BY ALL ORDER BY rollouts DESC, status"
    ).fetchall():
        statuses[run, question, iteration, purpose].append((status, count))
    found: dict[Key, list[Sampling]] = defaultdict(list)
    for run, question, iteration, purpose, version, rollouts, correct, is_hardest in connection.execute(
        "SELECT run, question_id, iteration, purpose, policy_version, rollouts, correct, coalesce(is_hardest, false) "
        "FROM plain_groups SEMI JOIN shown USING (run, question_id) ORDER BY iteration, purpose"
    ).fetchall():
        found[run, question].append(
            Sampling(
                iteration=iteration,
                purpose=purpose,
                policy_version=version,
                rollouts=rollouts,
                correct=correct,
                is_hardest=is_hardest,
                statuses=tuple(statuses[run, question, iteration, purpose]),
            )
        )
    return found


def _attempts(connection: duckdb.DuckDBPyConnection) -> dict[Key, list[Attempt]]:
    found: dict[Key, list[Attempt]] = defaultdict(list)
    names = ("iteration", "purpose", "sample", "status", "answer", "decided_by", "reason", "tokens", "text")
    for run, question, *values in connection.execute(
        f"SELECT run, question_id, {', '.join(names)} FROM plain_attempts SEMI JOIN shown USING (run, question_id) "
        f"WHERE text IS NOT NULL QUALIFY row_number() OVER (PARTITION BY run, question_id "
        f"ORDER BY iteration DESC, purpose, sample) <= {ATTEMPTS_SHOWN} ORDER BY iteration DESC, purpose, sample"
    ).fetchall():
        found[run, question].append(Attempt(**dict(zip(names, values, strict=True))))
    return found


def _offers(connection: duckdb.DuckDBPyConnection) -> dict[Key, list[Offer]]:
    """Those of the run itself, and those that a harvest or an import found for all."""
    found: dict[Key, list[Offer]] = defaultdict(list)
    names = ("run", "iteration", "source", "text", "tokens", "cost_usd", "refusal")
    for run, question, *values in connection.execute(
        f"SELECT s.run, s.question_id, {', '.join(f'd.{name}' for name in names)} FROM demonstrations d "
        f"JOIN shown s ON s.question_id = d.question_id "
        f"AND (s.run = d.run OR d.run NOT IN (SELECT run FROM groups)) "
        f"QUALIFY row_number() OVER (PARTITION BY s.run, s.question_id "
        f"ORDER BY d.refusal IS NOT NULL, d.iteration, d.run, d.demonstration_id) <= {DEMONSTRATIONS_SHOWN} "
        f"ORDER BY d.refusal IS NOT NULL, d.iteration, d.run, d.demonstration_id"
    ).fetchall():
        found[run, question].append(Offer(**dict(zip(names, values, strict=True))))
    return found


def _lessons(connection: duckdb.DuckDBPyConnection) -> dict[Key, list[Lesson]]:
    found: dict[Key, list[Lesson]] = defaultdict(list)
    names = ("iteration", "version", "nll_before", "nll_after", "kind", "prefix_tokens")
    for run, question, *values in connection.execute(
        f"SELECT run, question_id, {', '.join(names)} FROM uses SEMI JOIN shown USING (run, question_id) "
        f"ORDER BY iteration, version"
    ).fetchall():
        found[run, question].append(Lesson(**dict(zip(names, values, strict=True))))
    return found


def _leavings(connection: duckdb.DuckDBPyConnection) -> dict[Key, list[tuple[int, str]]]:
    found: dict[Key, list[tuple[int, str]]] = defaultdict(list)
    for run, question, iteration, reason in connection.execute(
        "SELECT run, question_id, iteration, reason FROM leavings SEMI JOIN shown USING (run, question_id) "
        "ORDER BY iteration"
    ).fetchall():
        found[run, question].append((iteration, reason))
    return found
