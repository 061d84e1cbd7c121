"""Solutions in: each verified against the gold answer, then all of them published as one ledger, or none.

What is taken in lies beside the runs as ``<store>/import-<digest>/hard_examples.duckdb``, a ledger like a harvest's:
one file that appears whole. Runs find it there when they ask for demonstrations (relift.teacher.imported), and admit
each solution again by their own rules; the questions are open no more for a harvest either.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb

from relift.errors import LedgerError
from relift.exchange.candidates import Candidate, read_candidates
from relift.exchange.check import Checker, Settings, settings_of
from relift.exchange.hard_set import LENT_SPLITS
from relift.ledger.imported import PREFIX
from relift.ledger.project import open_project, write_init_script
from relift.ledger.rows import RunStatus, storable
from relift.ledger.runs import known_runs
from relift.ledger.schema import SNAPSHOT
from relift.ledger.writer import Ledger
from relift.records import Demonstration, Question
from relift.store.folder import sha256_of
from relift.store.manifest import digest
from relift.store.uris import is_bucket, require_uri

log = logging.getLogger(__name__)
SPLIT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A solution that was not taken, e.g. where ``"solutions.jsonl row 3"``, reason ``"wrong: 41 is not 42"``."""

    where: str
    question_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import came to, e.g. candidates 40, left_empty 12, taken 28."""

    name: str
    """Of the ledger it was published as; empty where nothing was taken."""
    candidates: int
    left_empty: int
    """Rows that nobody has filled in."""
    repeated: int
    """Solutions that came more than once."""
    taken: int
    rejected: tuple[Rejected, ...]
    was_there: bool
    """Whether this very import was made before; nothing was written then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question as one run knows it."""

    run: str
    question: Question
    split: str


def import_solutions(
    path_or_uri: str, *, store: str, folder: Path, runs: Sequence[str] = (), skip_rejected: bool = False
) -> ImportReport:
    """Take in the solutions of a file, an exported folder or a ledger for the named runs, or for all of the project.

    ``store`` is where the project keeps its runs, ``folder`` where their ledgers can be opened. Every row has to pass
    in every such run that knows its question; otherwise nothing is taken, unless ``skip_rejected`` leaves such rows
    out. Taken twice, it is there once. Raises LedgerError for runs that are not there and for what cannot be read.
    """
    candidates = read_candidates(path_or_uri)
    filled = [one for one in candidates if one.text]
    distinct = {(one.question_id, one.text): one for one in reversed(filled)}
    ordered = [one for one in filled if distinct[one.question_id, one.text] is one]
    with open_project(folder, own_alone=True) as connection:
        settings = _settings(connection, runs)
        asked = _asked(connection, {one.question_id for one in ordered})
    taken, rejected = _checked(ordered, asked, settings)
    name, was_there = "", False
    if taken and (skip_rejected or not rejected):
        questions = {one.question_id: asked[one.question_id][0].question for one in taken}
        whom = sorted(settings) if runs else []
        name, was_there = _publish(Path(path_or_uri).name, taken, questions, whom, store, folder)
    return ImportReport(
        name=name,
        candidates=len(candidates),
        left_empty=len(candidates) - len(filled),
        repeated=len(filled) - len(ordered),
        taken=len(taken) if name else 0,
        rejected=tuple(rejected),
        was_there=was_there,
    )


def _settings(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, Settings]:
    """Of the runs that may be given solutions; where none is named, those of another version of relift are passed over.

    Such a run cannot be resumed by this one either.
    """
    runs = [fact.run for fact in known_runs(connection, names)]
    rows = connection.execute(
        "SELECT run, config_json FROM runs WHERE list_contains(?, run) ORDER BY run", [runs]
    ).fetchall()
    found: dict[str, Settings] = {}
    for run, config in rows:
        try:
            found[run] = settings_of(run, config)
        except LedgerError as problem:
            if names:
                raise
            log.warning("%s", problem)
    return found


def _asked(connection: duckdb.DuckDBPyConnection, ids: set[str]) -> dict[str, list[_Asked]]:
    """The questions of those ids in every run of the project: one that any of them holds out is not to be taught."""
    found: dict[str, list[_Asked]] = {}
    for run, id_, text, answer, source, split in connection.execute(
        "SELECT run, question_id, text, answer, source, split FROM questions WHERE list_contains(?, question_id) "
        "ORDER BY question_id, run",
        [sorted(ids)],
    ).fetchall():
        question = Question(id=id_, text=text, answer=answer, source=source)
        found.setdefault(id_, []).append(_Asked(run=run, question=question, split=split))
    return found


def _checked(
    candidates: Sequence[Candidate], asked: Mapping[str, Sequence[_Asked]], settings: Mapping[str, Settings]
) -> tuple[list[Demonstration], list[Rejected]]:
    taken: list[Demonstration] = []
    rejected: list[Rejected] = []
    with ExitStack() as stack:
        checker = stack.enter_context(Checker(settings))
        for one in candidates:
            found = asked.get(one.question_id, ())
            mine = [known for known in found if known.run in settings]
            reason = _why_not(one, found, mine, settings)
            if reason is None:
                demonstration, reason = checker.check(one, {known.run: known.question for known in mine})
                taken += [demonstration] if reason is None else []
            if reason is not None:
                rejected.append(Rejected(where=one.where, question_id=one.question_id, reason=reason))
    return taken, rejected


def _why_not(
    one: Candidate, found: Sequence[_Asked], mine: Sequence[_Asked], settings: Mapping[str, Settings]
) -> str | None:
    if not one.question_id:
        return "it names no question: give question_id, or the text as question"
    held_out = next((known for known in found if known.split not in LENT_SPLITS), None)
    if held_out is not None:
        return f"held out: run {held_out.run} evaluates on this question ({held_out.split}), so it is never taught"
    if not mine:
        return f"unknown question: no ledger of {_listed(list(settings))} holds it"
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _publish(
    origin: str,
    demonstrations: Sequence[Demonstration],
    questions: Mapping[str, Question],
    runs: Sequence[str],
    store: str,
    folder: Path,
) -> tuple[str, bool]:
    """(name of the import's ledger, whether it was there already)."""
    content = sorted((d.question_id, d.id, d.source) for d in demonstrations)
    name = PREFIX + digest(content, list(runs))[:12]
    snapshot = folder / name / SNAPSHOT
    if snapshot.is_file():
        return name, True
    making = folder / f".{name}.partial"
    shutil.rmtree(making, ignore_errors=True)
    with Ledger.open(making / "ledger.duckdb", name) as ledger:
        config = {"import": {"from": storable(origin), "runs": list(runs) or None}}
        ledger.record_run(f"{name}/run", config_json=json.dumps(config), base_model="", code_version=version("relift"))
        ledger.record_questions(f"{name}/questions", list(questions.values()), split=SPLIT)
        ledger.record_demonstrations(f"{name}/demonstrations", 0, demonstrations)
        ledger.set_status(RunStatus.FINISHED)
        ledger.publish(making / SNAPSHOT)
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    if is_bucket(store):
        from relift.store.bucket import Bucket

        Bucket(f"{require_uri(store)}/{name}").upload(SNAPSHOT, making / SNAPSHOT, sha256_of(making / SNAPSHOT))
    (making / SNAPSHOT).replace(snapshot)
    shutil.rmtree(making, ignore_errors=True)
    write_init_script(folder)
    return name, False


def require_taken(report: ImportReport) -> None:
    """Raises LedgerError where an import was refused, or where there was nothing to take."""
    if report.name:
        return
    if report.rejected:
        raise LedgerError(
            f"Nothing was imported: {len(report.rejected)} of {report.candidates - report.left_empty} solutions were "
            f"rejected, and an import is whole or not at all. Mend or remove those rows, or take the others with "
            f"--skip-rejected."
        )
    raise LedgerError(
        f"Nothing was imported: of {report.candidates} rows none holds a solution. Fill in the column 'solution'."
    )
