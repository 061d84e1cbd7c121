"""Candidates for import: from JSONL, from an exported folder, or from ledgers of elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relift.errors import LedgerError
from relift.exchange.folder import DEMONSTRATIONS
from relift.ledger import migrate, schema
from relift.ledger.attached import Location, sources_of
from relift.ledger.sql import quoted
from relift.questions.rows import Columns, read_rows
from relift.records import question_id
from relift.store.uris import is_bucket, require_uri

IMPORTED = "imported"
HUMAN = "human"
_COLUMNS = Columns(
    needed=("solution",),
    optional=("question_id", "question", "author", "solution_source"),
    setting="the file: one column 'solution', and 'question_id' or 'question' beside it, as an export has them",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One solution before it is checked, e.g. where ``"solutions.jsonl row 3"``, source ``"human/ada"``."""

    where: str
    question_id: str
    """Empty where the row names no question."""
    text: str
    """Empty where a person has not filled it in."""
    source: str


def read_candidates(path_or_uri: str) -> list[Candidate]:
    """All solutions of a .jsonl or .parquet file, an exported folder, or ledgers (as ``attach`` takes them).

    Of a ledger the admitted demonstrations alone. Raises DataError, LedgerError or StoreError.
    """
    require_uri(path_or_uri)
    path = Path(path_or_uri).expanduser()
    if is_bucket(path_or_uri):
        return _of_ledgers(path_or_uri)
    if not path.exists():
        raise LedgerError(
            f"{path_or_uri} does not exist (looked in {Path.cwd()}). Give a .jsonl file, a folder that "
            f"`relift ledger export` wrote, a ledger, or a folder of runs."
        )
    if (path / DEMONSTRATIONS).is_file():
        return list(_of_rows(path / DEMONSTRATIONS))
    if path.suffix in (".jsonl", ".parquet"):
        return list(_of_rows(path))
    return _of_ledgers(str(path.resolve()))


def _of_rows(path: Path) -> Iterator[Candidate]:
    for row in read_rows(path, _COLUMNS):
        text, question, id_ = (row.values[name] for name in ("solution", "question", "question_id"))
        author, source = row.values["author"], row.values["solution_source"]
        if not isinstance(id_, str) or not id_.strip():
            id_ = question_id(question) if isinstance(question, str) and question.strip() else ""
        yield Candidate(
            where=f"{row.file} row {row.number}",
            question_id=id_.strip(),
            text="" if text is None else str(text).strip(),  # also a bare number: it is judged, not passed over
            source=_imported(source) if isinstance(source, str) and source else _human(author, path),
        )


def _of_ledgers(uri: str) -> list[Candidate]:
    found: dict[tuple[str, str], Candidate] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources_of(Path(scratch), Location(name=IMPORTED, uri=uri)):
            with (
                schema.damage_reported(source.path),
                schema.reading({source.alias: source.path}) as connection,
            ):
                migrate.read_as_todays(connection, source.path, source.alias)
                rows = connection.execute(
                    f"SELECT run, question_id, text, source FROM {quoted(source.alias)}.demonstrations "
                    f"WHERE refusal IS NULL ORDER BY run, question_id, demonstration_id"
                ).fetchall()
            for run, question, text, written_by in rows:
                where = f"run {run}, question {question}"
                candidate = Candidate(where=where, question_id=question, text=text, source=_imported(written_by))
                found.setdefault((question, text), candidate)
    return list(found.values())


def _human(author: object, path: Path) -> str:
    named = author.strip() if isinstance(author, str) else ""
    return f"{HUMAN}/{named or path.stem}"


def _imported(source: str) -> str:
    """What people wrote stays theirs, and what was imported before is not imported twice over."""
    return source if source.startswith((f"{HUMAN}/", f"{IMPORTED}/")) else f"{IMPORTED}/{source}"
