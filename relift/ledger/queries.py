"""The named queries: plain SQL files over the tables and views of ``schema.sql``, for one run or all of a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from relift.errors import LedgerError

_FOLDER = Path(__file__).with_name("queries")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedQuery:
    """One file of ``queries/``: its stem, its first line without the dashes, and the whole of it."""

    name: str
    description: str
    sql: str


def named_queries() -> list[NamedQuery]:
    """All of them, by name."""
    return [_read(path) for path in sorted(_FOLDER.glob("*.sql"))]


def named_query(name: str) -> NamedQuery:
    """Raises LedgerError with the names there are."""
    for query in named_queries():
        if query.name == name:
            return query
    raise LedgerError(f"There is no query named {name!r}. There are: {', '.join(q.name for q in named_queries())}.")


def _read(path: Path) -> NamedQuery:
    sql = path.read_text(encoding="utf-8")
    first = sql.partition("\n")[0]
    assert first.startswith("-- "), f"{path.name} does not open with a line that says what it answers"
    return NamedQuery(name=path.stem, description=first.removeprefix("-- ").strip(), sql=sql)
