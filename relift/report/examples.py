"""The same held-out question before and after training: what the base wrote and what the policy writes now."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relift.errors import LedgerError, StoreError
from relift.run.recorded import phase_key
from relift.store import FolderStore

SOURCES_SHOWN = 12
ROWS_AT_LEAST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One question twice, e.g. text ``"47*6?"``, gold ``"282"``, before ``"240"``, after ``"40*6+7*6=240+42=282"``."""

    source: str
    text: str
    gold: str
    before: str
    after: str


def read_comparisons(root: Path, evaluated: Sequence[int]) -> tuple[Comparison, ...]:
    """The first held-out question of each benchmark under the first and the last of the evaluations at ``evaluated``.

    The first few where there are fewer benchmarks; nobody has chosen them. Empty where completions or questions are not
    to be had.
    """
    if len(evaluated) < 2:
        return ()
    try:
        before, after = (_texts(FolderStore(root), iteration) for iteration in (evaluated[0], evaluated[-1]))
        questions = _questions(root / "hard_examples.duckdb", [q for q in before if q in after])
    except (LedgerError, StoreError):
        return ()
    by_source: dict[str, list[Comparison]] = {}
    for question, (source, text, gold) in questions.items():
        comparison = Comparison(source=source, text=text, gold=gold, before=before[question], after=after[question])
        by_source.setdefault(source, []).append(comparison)
    each = 1 if len(by_source) >= ROWS_AT_LEAST else ROWS_AT_LEAST
    return tuple(c for found in list(by_source.values())[:SOURCES_SHOWN] for c in found[:each])


def _texts(store: FolderStore, iteration: int) -> dict[str, str]:
    """Text of each question's first completion, by question id, in the order asked."""
    import pyarrow.parquet as pq

    content = store.read(phase_key(iteration, "evaluate"), "rollouts.parquet")
    columns = pq.read_table(io.BytesIO(content), columns=["question_id", "sample", "text"]).to_pydict()
    rows = zip(columns["question_id"], columns["sample"], columns["text"], strict=True)
    return {question: text for question, sample, text in rows if sample == 0}


def _questions(snapshot: Path, ids: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """(source, text, gold) by id, in the given order. Raises LedgerError where there is no published ledger."""
    from relift.ledger import schema

    with schema.reading({"run": snapshot}) as connection:
        rows = connection.execute(
            "SELECT question_id, source, text, answer FROM run.questions WHERE question_id IN (SELECT unnest(?))",
            [list(ids)],
        ).fetchall()
    found = {question: (source, text, gold) for question, source, text, gold in rows}
    return {question: found[question] for question in ids if question in found}
