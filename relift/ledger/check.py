"""Whether a ledger agrees with itself: sums, references and keys, each a query that finds what is wrong.

Before that, whether the file can be used at all: every row is read, and on a copy every index is asked for every key
and every table written, since what a run meets first in a damaged file is what no reader ever looks at.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

from relift.errors import LedgerError
from relift.ledger import schema
from relift.ledger.project import open_file
from relift.ledger.sql import TABLES, connect

KEYED = ("runs", "questions", "demonstrations", "teacher_requests", "ingested")
"""Tables with an index, which no reading asks."""
TRIED = "\N{SNOWMAN} check"
"""Run of the rows that are written to a copy and deleted again; no run is called so."""
EXAMPLES = 3
"""Of what is wrong, that a check keeps to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that holds of every ledger, as SQL."""

    name: str
    """Said as what holds, e.g. ``"groups are the sums of their attempts"``."""
    counted: str
    """Query for how many there are to look at."""
    wrong: str
    """Query for one line of text a thing that is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of a check, e.g. name as above, count 125000, wrong 1, examples of one line."""

    name: str
    count: int
    wrong: int
    examples: tuple[str, ...] = ()


def _repeated(table: str, *key: str) -> Check:
    columns = ", ".join(key)
    return Check(
        name=f"no row of {table} is there twice ({columns})",
        counted=f"SELECT count(*) FROM {table}",
        wrong=f"SELECT concat_ws(' ', {columns}, 'is there', count(*), 'times') FROM {table} "
        f"GROUP BY {columns} HAVING count(*) > 1",
    )


def _orphans(table: str, what: str, parent: str, key: str, *, but: str = "false") -> Check:
    """``but``: rows that have none, as SQL."""
    return Check(
        name=f"every row of {table} has its {what}",
        counted=f"SELECT count(*) FROM {table}",
        wrong=f"SELECT DISTINCT concat_ws(' ', run, '{what}', {key}, 'is not in {parent}') "
        f"FROM (FROM {table} WHERE NOT ({but})) ANTI JOIN {parent} USING (run, {key})",
    )


CHECKS = (
    Check(
        name="groups are the sums of their attempts",
        counted="SELECT count(*) FROM groups",
        wrong="""
        WITH sums AS (
            SELECT
                run, iteration, purpose, question_id, count(*) AS rollouts,
                count(*) FILTER (status = 'correct') AS correct, count(reward) AS graded, sum(tokens) AS tokens
            FROM attempts GROUP BY run, iteration, purpose, question_id
        )
        SELECT concat_ws(
            ' ', run, 'iteration', iteration, purpose, question_id,
            'has (rollouts, correct, graded, tokens)', (g.rollouts, g.correct, g.graded, g.tokens)::VARCHAR,
            'as a group and', (s.rollouts, s.correct, s.graded, s.tokens)::VARCHAR, 'as attempts'
        )
        FROM groups g FULL JOIN sums s USING (run, iteration, purpose, question_id)
        WHERE (g.rollouts, g.correct, g.graded, g.tokens) IS DISTINCT FROM (s.rollouts, s.correct, s.graded, s.tokens)
        """,
    ),
    Check(
        name="iterations report the rollouts of their training groups",
        counted="SELECT count(*) FROM iterations",
        wrong="""
        WITH sums AS (
            SELECT
                run, iteration, sum(rollouts) AS rollouts, sum(tokens) AS tokens, count_if(is_hardest) AS unsolved,
                count_if(correct = rollouts) AS solved_all
            FROM groups WHERE purpose = 'train' GROUP BY run, iteration
        )
        SELECT concat_ws(
            ' ', run, 'iteration', iteration, 'reports (rollouts, tokens, unsolved, solved_all)',
            (i.rollouts, i.tokens, i.unsolved, i.solved_all)::VARCHAR, 'and its groups have',
            (s.rollouts, s.tokens, s.unsolved, s.solved_all)::VARCHAR
        )
        FROM iterations i LEFT JOIN sums s USING (run, iteration)
        WHERE (i.rollouts, i.tokens, i.unsolved, i.solved_all)
            IS DISTINCT FROM (s.rollouts, s.tokens, s.unsolved, s.solved_all)
        """,
    ),
    Check(
        name="iterations report the statuses of their training attempts",
        counted="SELECT count(*) FROM iterations",
        wrong="""
        WITH reported AS (
            SELECT run, iteration, unnest(map_keys(statuses)) AS status, unnest(map_values(statuses)) AS count
            FROM iterations
        ), found AS (
            SELECT run, iteration, status, count(*) AS count
            FROM attempts WHERE purpose = 'train' GROUP BY run, iteration, status
        )
        SELECT concat_ws(
            ' ', run, 'iteration', iteration, 'reports', coalesce(r.count, 0), status, 'and has', coalesce(f.count, 0)
        )
        FROM reported r FULL JOIN found f USING (run, iteration, status)
        SEMI JOIN iterations USING (run, iteration)
        WHERE coalesce(r.count, 0) <> coalesce(f.count, 0)
        """,
    ),
    Check(
        name="iterations report the demonstrations that they taught",
        counted="SELECT count(*) FROM iterations",
        wrong="""
        WITH used AS (
            SELECT run, iteration, count(*) AS count FROM uses WHERE prefix_tokens IS NULL GROUP BY run, iteration
        )
        SELECT concat_ws(
            ' ', run, 'iteration', iteration, 'reports', taught, 'taught and has', coalesce(count, 0), 'uses'
        )
        FROM iterations LEFT JOIN used USING (run, iteration)
        WHERE taught <> coalesce(count, 0)
        """,
    ),
    Check(
        name="every use belongs to an update",
        counted="SELECT count(*) FROM uses",
        wrong="""
        SELECT DISTINCT concat_ws(
            ' ', run, 'iteration', iteration, 'uses demonstrations for version', version, 'that no update made'
        )
        FROM uses ANTI JOIN updates USING (run, iteration, kind, version)
        """,
    ),
    Check(
        name="every use is of an admitted demonstration for its question",
        counted="SELECT count(*) FROM uses",
        wrong="""
        SELECT concat_ws(' ', run, 'iteration', iteration, 'used', demonstration_id, 'for', question_id)
        FROM uses ANTI JOIN (FROM demonstrations WHERE refusal IS NULL) USING (run, demonstration_id, question_id)
        """,
    ),
    Check(
        name="the parts of a reward add up to it",
        counted="SELECT count(*) FROM reward_parts",
        wrong="""
        WITH sums AS (
            SELECT run, iteration, purpose, question_id, sample, sum(value) AS total, sum(abs(value)) AS size
            FROM reward_parts GROUP BY ALL
        )
        SELECT concat_ws(
            ' ', run, 'iteration', iteration, purpose, question_id, sample, 'has the reward', a.reward,
            'and parts that come to', total
        )
        FROM sums LEFT JOIN attempts a USING (run, iteration, purpose, question_id, sample)
        WHERE a.reward IS NULL OR abs(a.reward - total) > 1e-9 * size
        """,
    ),
    Check(
        name="every failed reward is of an attempt without one",
        counted="SELECT count(*) FROM reward_failures",
        wrong="""
        SELECT concat_ws(' ', run, 'iteration', iteration, purpose, question_id, sample, 'is said to have failed')
        FROM reward_failures
        ANTI JOIN (FROM attempts WHERE reward IS NULL) USING (run, iteration, purpose, question_id, sample)
        """,
    ),
    _orphans("entries", "demonstration", "demonstrations", "demonstration_id"),
    _orphans("leavings", "demonstration", "demonstrations", "demonstration_id"),
    _orphans("groups", "question", "questions", "question_id"),
    _orphans("demonstrations", "question", "questions", "question_id"),
    _orphans("teacher_requests", "question", "questions", "question_id", but="question_id = ''"),
    _repeated("runs", "run"),
    _repeated("questions", "run", "question_id"),
    _repeated("attempts", "run", "iteration", "purpose", "question_id", "sample"),
    _repeated("reward_parts", "run", "iteration", "purpose", "question_id", "sample", "name"),
    _repeated("reward_failures", "run", "iteration", "purpose", "question_id", "sample"),
    _repeated("groups", "run", "iteration", "purpose", "question_id"),
    _repeated("demonstrations", "run", "demonstration_id"),
    _repeated("teacher_requests", "run", "request_key"),
    _repeated("evaluations", "run", "iteration", "benchmark"),
    _repeated("iterations", "run", "iteration"),
    _repeated("ingested", "run", "key"),
)


def check(path: Path) -> list[Checked]:
    """What came of every check of one ledger file, which is read whole first, and written to in a copy.

    Raises LedgerError for a file that is no ledger, that another process writes, or that is damaged.
    """
    with open_file(path) as connection:
        readable = _read_all(connection)
        checked = [_checked(connection, one) for one in CHECKS]
    return [readable, _written_in_a_copy(path), *checked]


def require_sound(path: Path) -> None:
    """Raises LedgerError, as ``check``, when the file cannot be read whole or not be written to."""
    with open_file(path) as connection:
        _read_all(connection)
    _written_in_a_copy(path)


def _read_all(connection: duckdb.DuckDBPyConnection) -> Checked:
    """Every block of every table, whose checksums DuckDB compares as it reads."""
    rows = 0
    for table in TABLES:
        count, _ = connection.execute(f"SELECT count(*), bit_xor(hash(t)) FROM {table} t").fetchall()[0]
        rows += count
    return Checked(name="every row can be read", count=rows, wrong=0)


def _written_in_a_copy(path: Path) -> Checked:
    """The copy lies beside the file, where there is as much room as a run needs to publish, or else where files go that
    nobody keeps."""
    beside = path.parent if os.access(path.parent, os.W_OK) else None
    try:
        with tempfile.TemporaryDirectory(prefix=".check-", dir=beside) as folder:
            copy = Path(folder) / path.name
            schema.copy(path, copy, with_log=True)
            keys = _written(copy)
            with open_file(copy) as connection:
                _read_all(connection)
    except LedgerError as problem:
        raise LedgerError(str(problem).replace(str(copy), str(path))) from problem
    except OSError as problem:
        raise LedgerError(
            f"{path} was not tried in a copy ({problem.strerror}): make room for a second one of it, then check again."
        ) from problem
    return Checked(name="every key is found by its index, and every table can be written", count=keys, wrong=0)


def _written(copy: Path) -> int:
    """How many keys the indexes were asked for. Raises LedgerError where one is not found or a table not written."""
    keys = 0
    with connect(copy.with_name("spill")) as connection, schema.damage_reported(copy):
        schema.attach(connection, copy, "ledger", read_only=False)
        connection.execute("USE ledger")
        # A file of an earlier schema lacks the tables that came later.
        there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        for table in KEYED:
            kept = _count(connection, table)
            # A row whose key the index finds is not inserted again.
            connection.execute(f"INSERT INTO {table} FROM {table} ON CONFLICT DO NOTHING")
            if (found := _count(connection, table)) != kept:
                raise LedgerError(schema.damaged(copy, f"the index of {table} misses {found - kept:,} of its rows"))
            keys += kept
        written = [table for table in TABLES if table in there]
        for table in written:
            connection.execute(f"INSERT INTO {table} SELECT * REPLACE ('{TRIED}' AS run) FROM {table} LIMIT 1")
        connection.execute("CHECKPOINT ledger")
        for table in written:
            connection.execute(f"DELETE FROM {table} WHERE run = '{TRIED}'")
        connection.execute("CHECKPOINT ledger; USE memory; DETACH ledger")
    return keys


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
    return int(count)


def _checked(connection: duckdb.DuckDBPyConnection, one: Check) -> Checked:
    (count,) = connection.execute(one.counted).fetchall()[0]
    wrong = connection.execute(f"SELECT count(*), list(line ORDER BY line)[:{EXAMPLES}] FROM ({one.wrong}) t(line)")
    found, examples = wrong.fetchall()[0]
    return Checked(name=one.name, count=count, wrong=found, examples=tuple(examples or ()))
