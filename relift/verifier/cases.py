"""Files of (gold, answer) rows in, the same rows with their verdicts out."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from relift.errors import DataError
from relift.records import Completion, DecidedBy, FinishReason, Status, Verdict
from relift.verifier.case_files import Rows
from relift.verifier.verifier import Verifier

RowForm = Literal["answer", "response"]
"""What stands in the column ``answer``: a bare answer, or a whole completion that it is to be found in."""


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
    check: Callable[[], None] = lambda: None,
    verified: Callable[[int], None] = lambda count: None,
) -> Tally:
    """Writes the rows of the file with ``ADDED`` beside their own columns.

    ``out`` is there when all of it is, or not at all; ``verified`` is told after each piece how many more are done. A
    row without a usable gold is ``bad_gold``, one without an answer ``no_answer``.
    """
    tally = Tally()
    with _written_whole(rows, out) as write:
        for piece in rows.pieces():
            found = verify_pairs(rows.pairs(piece), verifier, form, check=check)
            write(piece, columns_of(found))
            tally.add(found)
            verified(len(found))
    return tally


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
def _written_whole(rows: Rows, out: Path | None) -> Iterator[Callable[[Any, dict[str, list[Any]]], None]]:
    if out is None:
        yield lambda piece, added: None
        return
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
