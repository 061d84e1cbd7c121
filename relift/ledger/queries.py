"""The named queries: plain SQL files over the tables and views of ``schema.sql``, for one run or all of a project.

A file opens with one line that says what it answers and one that names its group. It runs as it stands in any DuckDB
client that has read ``hard_examples.sql``. Where the variables ``run`` (a name, or a pattern such as ``demo-*``) and
``since`` (an iteration) are set, it keeps to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from relift.errors import LedgerError

GROUPS = ("hard questions", "did teaching work", "teachers and money", "can the data be trusted", "runs")
_FOLDER = Path(__file__).with_name("queries")
_GROUP_MARK = "-- Group: "


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedQuery:
    """One file of ``queries/``: its stem, its first line without the dashes, one of ``GROUPS``, and the whole of it."""

    name: str
    description: str
    group: str
    sql: str

    @property
    def takes_since(self) -> bool:
        """Whether the variable ``since`` changes anything; ``run`` always does."""
        return "getvariable('since')" in self.sql

    def limited(self, rows: int | None) -> str:
        """The query for its first rows alone, without a semicolon; all of them where ``rows`` is None."""
        whole = self.sql.strip().removesuffix(";")
        return whole if rows is None else f"SELECT * FROM (\n{whole}\n) LIMIT {rows:d}"


def named_queries() -> list[NamedQuery]:
    """All of them, by group and name."""
    found = [_read(path) for path in _FOLDER.glob("*.sql")]
    return sorted(found, key=lambda query: (GROUPS.index(query.group), query.name))


def named_query(name: str) -> NamedQuery:
    """Raises LedgerError with the names there are."""
    known = {query.name: query for query in named_queries()}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise LedgerError(f"There is no query named {name!r}.{meant} There are: {', '.join(sorted(known))}.")


def _read(path: Path) -> NamedQuery:
    sql = path.read_text(encoding="utf-8")
    first, second, *_ = sql.splitlines()
    assert first.startswith("-- "), f"{path.name} does not open with a line that says what it answers"
    assert second.startswith(_GROUP_MARK), f"the second line of {path.name} does not name its group"
    return NamedQuery(
        name=path.stem,
        description=first.removeprefix("-- ").strip(),
        group=second.removeprefix(_GROUP_MARK).strip().removesuffix("."),
        sql=sql,
    )
