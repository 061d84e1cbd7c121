"""What a rebuilt ledger keeps of the one before it: the rows of all batches that are not written again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from relift.ledger import schema
from relift.ledger.sql import connect, literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The batches that will be written again, e.g. groups ``{(7, "train")}``.

    Demonstrations, questions and requests are not named: the first row of each stays, as it does in a run.
    """

    keys: frozenset[str]
    """Of the batches, e.g. ``"demo-0/iterations/00007/gate"``."""
    groups: frozenset[tuple[int, str]]
    """(iteration, purpose), also of attempts and their rewards."""
    updates: frozenset[tuple[int, str]]
    """(iteration, kind), also of uses; none of the warm start."""
    epochs: frozenset[int]
    """Of the warm start, by the versions that they made."""
    evaluations: frozenset[int]
    iterations: frozenset[int]


def carry_over(old: Path, new: Path, replaced: Replaced) -> None:
    """Fill an empty ledger at ``new`` with what stays of the one at ``old``; both of today's schema."""
    of_attempts = ("groups", "attempts", "reward_parts", "reward_failures")
    pairs = [(table, "purpose", replaced.groups) for table in of_attempts]
    pairs += [("updates", "kind", replaced.updates), ("uses", "kind", replaced.updates)]
    with connect(spill=new.with_name(new.name + ".spill")) as connection:
        schema.attach(connection, old, "old", read_only=True)
        schema.attach(connection, new, "new", read_only=False)

        def fill(table: str, left_out: str = "false") -> None:
            connection.execute(f"INSERT INTO new.{table} BY NAME FROM old.{table} WHERE NOT ({left_out})")

        epochs = f"(iteration < 0 AND {_in('version', replaced.epochs)})"
        for table, column, found in pairs:
            fill(table, _any_of(found, column) + (f" OR {epochs}" if column == "kind" else ""))
        fill("evaluations", _in("iteration", replaced.evaluations))
        fill("iterations", _in("iteration", replaced.iterations))
        fill("ingested", _in("key", replaced.keys))
        for table in ("runs", "questions", "demonstrations", "teacher_requests", "entries", "leavings"):
            fill(table)


def _any_of(pairs: Collection[tuple[int, str]], column: str) -> str:
    """Whether (iteration, column) is one of them."""
    return (
        " OR ".join(
            f"({column} = {literal(value)} AND {_in('iteration', [i for i, other in pairs if other == value])})"
            for value in sorted({value for _, value in pairs})
        )
        or "false"
    )


def _in(column: str, values: Collection[int] | Collection[str]) -> str:
    listed = ", ".join(literal(v) if isinstance(v, str) else str(v) for v in sorted(values))
    return f"{column} IN ({listed})" if listed else "false"
