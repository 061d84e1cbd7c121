"""A run's ledger made again from the phases that it recorded.

    ledger.duckdb, else hard_examples.duckdb --- what no recording holds ---+
    iterations/<i>/<phase>/ ------------------ written again as it was -----+--> a new file --> in the old one's place
    metrics.jsonl ---------------------------- what iterations reported ----+

Recorded phases rule: their rows are written by the ledger's own methods, as the run wrote them. All else, such as
requests to teachers and the rollouts that were removed with their checkpoints, comes from the old ledger, or from its
snapshot where that cannot be read. The old files stay as they are until the new one is whole, and are kept beside it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relift.config.recipe import recorded_config
from relift.errors import LedgerError, NewerLedgerError, RunError
from relift.ledger import Ledger, RunStatus, schema
from relift.ledger.carry_over import carry_over
from relift.ledger.check import require_sound
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.ledger.sql import connect
from relift.rebuild.recordings import Recordings
from relift.records import Question
from relift.run.identity import RUN_FILE, SUMMARY_FILE, read_identity
from relift.run.lock import RunLock
from relift.store.folder import FolderStore

log = logging.getLogger(__name__)
WORK, BEFORE = ".rebuild", ".before-rebuild"
"""Folder of a rebuild that is under way; what the name of a ledger that was replaced ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild came to, e.g. run ``"demo-0"``, kept_from ``"ledger.duckdb"``, batches 143."""

    run: str
    kept_from: str | None
    """The file whose rows were kept where nothing is recorded; None where none could be read."""
    batches: int
    """Written again from recordings."""
    before: Mapping[str, int]
    """Rows by table in that file; empty without one."""
    after: Mapping[str, int]
    is_changed: bool
    """Whether the new ledger differs, wall-clock aside, and took the old one's place."""
    replaced: str | None
    """Name that the old ledger has now."""
    notes: tuple[str, ...]
    """What could not be read, and what is missing for good; a sentence each."""


def rebuild(root: Path) -> Rebuilt:
    """Make the ledger of the run in a folder again and publish it.

    Raises RunError for a folder without recorded phases and while the run is being written, LedgerError for one of a
    newer schema and when the new file cannot be written; the ledger is then as it was.
    """
    if not (root / RUN_FILE).is_file() or not (root / "iterations").is_dir():
        raise RunError(
            f"{root} holds no recorded phases ({RUN_FILE} and iterations/), so its ledger cannot be made again. Give "
            f"the folder of a training run, such as runs/demo-0."
        )
    lock = RunLock(root / "lock")
    lock.acquire()
    work = root / WORK
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        return _rebuild(root, work)
    except OSError as problem:
        raise LedgerError(
            f"The ledger of {root} could not be made again ({problem.strerror}); the old one is as it was. Make sure "
            f"that the disk has room for two more copies of it, then run the command again."
        ) from problem
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.release()


def _rebuild(root: Path, work: Path) -> Rebuilt:
    notes: list[str] = []
    old, kept_from = _readable_copy(root, work, notes)
    run = _run_name(old) or root.name
    recordings = Recordings(FolderStore(root), run)
    notes += recordings.problems
    made = work / "new.duckdb"
    schema.create(made)
    if old is not None:
        carry_over(old, made, recordings.replaced())
    with Ledger.open(made, run) as ledger:
        by_id = _inputs(root, ledger)
        batches = recordings.write(ledger, by_id)
        notes += recordings.missing(ledger)
        after, digest = ledger.counts(), ledger.digest()
    before, digest_before = _counts_and_digest(old, run)
    is_changed = digest != digest_before or kept_from != LEDGER
    if is_changed and kept_from == LEDGER:
        _fold_log(root / LEDGER)
    replaced = _replace(root, made) if is_changed else None
    if is_changed or not _holds(root / SNAPSHOT, work / SNAPSHOT, run, digest, notes):
        with Ledger.open(root / LEDGER, run) as ledger:
            ledger.publish(root / SNAPSHOT)
    return Rebuilt(
        run=run,
        kept_from=kept_from,
        batches=batches,
        before=before,
        after=after,
        is_changed=is_changed,
        replaced=replaced,
        notes=tuple(notes),
    )


def _readable_copy(root: Path, work: Path, notes: list[str]) -> tuple[Path | None, str | None]:
    """A copy, of today's schema, of the newest file that can be read whole; and that file's name.

    A copy, since opening the ledger of a run that crashed folds its log into it.
    """
    for name in (LEDGER, SNAPSHOT):
        path, copy = root / name, work / name
        if not path.is_file():
            notes.append(f"There is no {name}.")
            continue
        for part in (path, path.with_name(path.name + ".wal")):
            if part.is_file():
                shutil.copyfile(part, work / part.name)
        try:
            Ledger.open(copy, root.name).close()
            require_sound(copy)
        except NewerLedgerError as problem:  # not lost: a rebuild would throw away what this relift does not know
            raise NewerLedgerError(str(problem).replace(str(work), str(root))) from problem
        except LedgerError as problem:
            notes.append(f"{name} cannot be used: {str(problem).replace(str(work), str(root))}")
            continue
        return copy, name
    return None, None


def _holds(path: Path, copy: Path, run: str, digest: str, notes: list[str]) -> bool:
    """Whether the snapshot can be read and holds the ledger's rows; where it is damaged that is noted."""
    if not path.is_file():
        return False
    try:
        if not copy.is_file():
            shutil.copyfile(path, copy)
        require_sound(copy)
        return _counts_and_digest(copy, run)[1] == digest
    except LedgerError as problem:
        notes.append(f"{path.name} cannot be used, and was written again: {str(problem).replace(str(copy), str(path))}")
        return False


def _run_name(old: Path | None) -> str | None:
    """Of the one run in a ledger: its folder may have been given another name since."""
    if old is None:
        return None
    with Ledger.open(old, "") as ledger:
        names = ledger.execute("SELECT run FROM runs")
    return str(names[0][0]) if len(names) == 1 else None


def _inputs(root: Path, ledger: Ledger) -> dict[str, Question]:
    """The run and its questions in the ledger, read again where no old one holds them; the questions by id."""
    if not ledger.execute("SELECT 1 FROM runs"):
        from relift.opening.questions import record_inputs, recorded_questions

        identity = read_identity(FolderStore(root))
        config = recorded_config(identity["config"], origin=str(root / RUN_FILE))
        questions = recorded_questions(config)
        record_inputs(ledger, config, questions, code_version=identity["resolved"]["relift"])
        is_done = (root / SUMMARY_FILE).is_file()
        ledger.set_status(RunStatus.FINISHED if is_done else RunStatus.INTERRUPTED)
    rows = ledger.execute("SELECT question_id, text, answer, source FROM questions")
    return {row[0]: Question(id=row[0], text=row[1], answer=row[2], source=row[3]) for row in rows}


def _counts_and_digest(old: Path | None, run: str) -> tuple[dict[str, int], str]:
    if old is None:
        return {}, ""
    with Ledger.open(old, run) as ledger:
        return ledger.counts(), ledger.digest()


def _fold_log(path: Path) -> None:
    """What a crash left in the old ledger's log goes into its file, which is what is kept of it."""
    with connect() as connection:
        schema.attach(connection, path, "old", read_only=False)


def _replace(root: Path, made: Path) -> str | None:
    """Put the new file in the ledger's place, which always holds the old one or the new; the old one's new name."""
    path = root / LEDGER
    backup = path.with_name(path.name + BEFORE)
    had = path.is_file()
    schema.remove(backup)
    if had:
        os.link(path, backup)
    log_file = path.with_name(path.name + ".wal")
    if log_file.is_file():  # of a file that cannot be read: the new one would take it for its own
        log_file.replace(backup.with_name(backup.name + ".wal"))
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    made.replace(path)
    return backup.name if had else None
