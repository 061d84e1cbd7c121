"""Files of (gold, answer) rows in, the same rows with their verdicts out."""

from __future__ import annotations

import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from relift.errors import DataError
from relift.records import Completion, DecidedBy, FinishReason, Status, Verdict
from relift.verifier.cache import verifier_version
from relift.verifier.case_files import Rows
from relift.verifier.journal import Journal
from relift.verifier.verifier import Verifier

RowForm = Literal["answer", "response"]
"""What stands in the column ``answer``: a bare answer, or a whole completion that it is to be found in."""


FIRST_ROWS = 16
"""At least so many are verified at a time."""
SECONDS_AT_A_TIME = 2.0


@dataclass(slots=True)
class Tally:
    """What a file's verdicts were."""

    statuses: Counter[Status] = field(default_factory=Counter)
    paths: Counter[DecidedBy] = field(default_factory=Counter)
    seconds: array[float] = field(default_factory=lambda: array("d"))
    """One a row."""

    def add(self, verdicts: Sequence[Verdict]) -> None:
        self.statuses.update(verdict.status for verdict in verdicts)
        self.paths.update(verdict.path for verdict in verdicts)
        self.seconds.extend(verdict.seconds for verdict in verdicts)


def verify_rows(
    rows: Rows,
    out: Path | None,
    verifier: Verifier,
    form: RowForm,
    *,
    settings: str = "",
    check: Callable[[], None] = lambda: None,
    verified: Callable[[int], None] = lambda count: None,
) -> Tally:
    """Writes the rows of the file with ``ADDED`` beside their own columns.

    ``out`` is there when all of it is, or not at all. Stopped by whatever exception, the verdicts so far are kept in a
    journal beside it, and the next call for the same rows and ``settings`` goes on behind them. ``verified`` is told
    all along how many more are done, first of all those of the journal. A row without a usable gold is ``bad_gold``,
    one without an answer ``no_answer``.
    """
    tally = Tally()
    if out is None:
        for found in _verdicts(rows, 0, verifier, form, check):
            tally.add(found)
            verified(len(found))
        return tally
    key = f"{rows.digest()} as {form} by {verifier_version()} {settings}"
    with Journal(out, key) as journal:
        if journal.count:
            verified(journal.count)
        for found in _verdicts(rows, journal.count, verifier, form, check):
            journal.append(found)
            verified(len(found))
        _write(rows, out, journal, tally)
        journal.finish()
    return tally


def _verdicts(
    rows: Rows, done: int, verifier: Verifier, form: RowForm, check: Callable[[], None]
) -> Iterator[list[Verdict]]:
    """Those of the rows behind the first ``done``, as many at a time as take a few seconds."""
    size = FIRST_ROWS
    for piece in rows.pieces():
        pairs = rows.pairs(piece)
        at, done = min(done, len(pairs)), max(0, done - len(pairs))
        while at < len(pairs):
            began = time.monotonic()
            found = verify_pairs(pairs[at : at + size], verifier, form, check=check)
            at += len(found)
            yield found
            rate = len(found) / max(time.monotonic() - began, 1e-6)
            size = int(min(max(rate * SECONDS_AT_A_TIME, FIRST_ROWS), 8 * size))


def _write(rows: Rows, out: Path, journal: Journal, tally: Tally) -> None:
    verdicts = journal.verdicts()
    with _written_whole(rows, out) as write:
        for piece in rows.pieces():
            found = list(islice(verdicts, len(rows.pairs(piece))))
            write(piece, columns_of(found))
            tally.add(found)


def verify_pairs(
    pairs: Sequence[tuple[Any, Any]], verifier: Verifier, form: RowForm, *, check: Callable[[], None] = lambda: None
) -> list[Verdict]:
    """The verdicts on what stands in two columns, in order; numbers are taken as they are printed."""
    texts = [(_text(gold), _text(answer)) for gold, answer in pairs]
    faults = [_fault(gold, answer) for gold, answer in texts]
    whole = [pair for pair, fault in zip(texts, faults, strict=True) if fault is None]
    if form == "answer":
        found = iter(verifier.compare_batch(whole, check=check))
    else:
        found = iter(verifier.verify_batch([(gold, _completion(text)) for gold, text in whole], check=check))
    return [fault or next(found) for fault in faults]


def columns_of(verdicts: Sequence[Verdict]) -> dict[str, list[Any]]:
    return {
        "status": [verdict.status.value for verdict in verdicts],
        "extracted": [verdict.answer for verdict in verdicts],
        "path": [verdict.path.value for verdict in verdicts],
        "seconds": [round(verdict.seconds, 6) for verdict in verdicts],
        "reason": [verdict.reason for verdict in verdicts],
    }


@contextmanager
def _written_whole(rows: Rows, out: Path) -> Iterator[Callable[[Any, dict[str, list[Any]]], None]]:
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with rows.writer(aside) as write:
            yield write
        aside.replace(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        aside.unlink(missing_ok=True)


def _text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _fault(gold: Any, answer: Any) -> Verdict | None:
    """The verdict on a row that holds nothing to compare."""
    if not isinstance(gold, str):
        reason = "no gold" if gold is None else f"the gold is a {type(gold).__name__}, not text"
        return Verdict(status=Status.BAD_GOLD, path=DecidedBy.GUARD, reason=reason)
    if answer is None:
        return Verdict(status=Status.NO_ANSWER, reason="no answer")
    if not isinstance(answer, str):
        return Verdict(status=Status.ERROR, reason=f"the answer is a {type(answer).__name__}, not text")
    return None


def _completion(text: str) -> Completion:
    return Completion(token_ids=(), logprobs=(), text=text, finish_reason=FinishReason.STOP, policy_version=0)
