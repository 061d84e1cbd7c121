"""All questions of a run: read, checked, folded, split."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from relift.config import QuestionsConfig
from relift.errors import DataError
from relift.questions.formats import BadRow, Format, format_of
from relift.questions.rows import Row, dataset_files, read_rows
from relift.randomness import key
from relift.records import Question, Status
from relift.verifier import Verifier

ROWS_AT_A_TIME = 4_096
"""Whose golds are checked together, by all of the verifier's workers."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row that was set aside, e.g. file ``"train.jsonl"``, row 17, reason ``"no gold answer"``."""

    file: str
    row: int
    """From 1; in JSONL the line."""
    reason: str
    question: Question | None = None
    """None where the row holds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """The questions of a run, each once; held-out ones are never trained on."""

    training: tuple[Question, ...]
    held_out: tuple[Question, ...]
    benchmarks: tuple[Question, ...] = ()
    """Of evaluation.benchmarks; disjoint by id from the others."""
    quarantined: tuple[Quarantined, ...] = ()
    by_id: Mapping[str, Question] = field(init=False, repr=False, compare=False)
    """All of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {q.id: q for q in (*self.training, *self.held_out, *self.benchmarks)})


def load_questions(
    config: QuestionsConfig,
    *,
    seed: int,
    verifier: Verifier,
    held_out_per_family: int = 400,
    fault_of: Callable[[Question], str | None] = lambda question: None,
) -> QuestionSet:
    """The questions that the configuration names, in the order of the dataset.

    A question that comes again with an equal gold is counted in ``repeats``; with another gold all its rows are set
    aside, or where it comes with other messages before it, as is a row without a text or a gold that the verifier can
    compare with, and one that ``fault_of`` gives a reason against. DataError where the dataset cannot
    be read, is empty, or has more such rows than ``max_bad_share``. ``seed`` and ``held_out_per_family`` are for
    arithmetic; a dataset is split by a hash of the id alone, so that runs with different seeds can be compared.
    """
    if config.format == "arithmetic":
        loaded = _arithmetic(config, seed, held_out_per_family)
    else:
        loaded = _dataset(config, verifier, fault_of)
    repeats = sum(question.repeats - 1 for question in loaded.by_id.values())
    logger.info(
        "questions: %d to train on, %d held out, %d repeats folded, %d rows set aside",
        *(len(loaded.training), len(loaded.held_out), repeats, len(loaded.quarantined)),
    )
    return loaded


def _arithmetic(config: QuestionsConfig, seed: int, held_out_per_family: int) -> QuestionSet:
    from relift.arithmetic.questions import MEASURED_PER_FAMILY, arithmetic_questions, held_out_questions

    assert config.count is not None  # the configuration's own rule
    measured = max(MEASURED_PER_FAMILY, held_out_per_family)
    training = _folded(arithmetic_questions(config.families, config.count, seed, measured_per_family=measured))
    held_out = held_out_questions(list(config.families), held_out_per_family, seed)
    return QuestionSet(training=tuple(training.values()), held_out=tuple(held_out))


def _folded(questions: Iterable[Question]) -> dict[str, Question]:
    folded: dict[str, Question] = {}
    for question in questions:
        known = folded.get(question.id)
        folded[question.id] = dataclasses.replace(known, repeats=known.repeats + 1) if known else question
    return folded


def _dataset(config: QuestionsConfig, verifier: Verifier, fault_of: Callable[[Question], str | None]) -> QuestionSet:
    files = dataset_files(config.path)
    form = format_of(config)
    sorter = _Sorter(verifier)
    for file in files:
        rows = read_rows(file, form.columns)
        while some := list(islice(rows, ROWS_AT_A_TIME)):
            sorter.add([(row, _question_or_fault(form, row)) for row in some], fault_of)
    questions = sorter.usable()
    _refuse_if_bad(config, sorter.rows, sorter.quarantined, len(questions))
    held_out = [question for question in questions if _is_held_out(question.id, config.held_out_share)]
    kept_out = {question.id for question in held_out}
    training = _at_most(config.count, [question for question in questions if question.id not in kept_out])
    return QuestionSet(training=tuple(training), held_out=tuple(held_out), quarantined=tuple(sorter.quarantined))


def _question_or_fault(form: Format, row: Row) -> Question | BadRow:
    try:
        return form.question(row)
    except BadRow as bad:
        return bad


class _Sorter:
    """Parts the rows into questions, each once, and rows that are set aside."""

    def __init__(self, verifier: Verifier) -> None:
        self.rows = 0
        self.quarantined: list[Quarantined] = []
        self._verifier = verifier
        self._questions: dict[str, Question] = {}
        self._rows_of: dict[str, list[Row]] = {}
        self._in_conflict: dict[str, str] = {}
        """What differs between the rows of a question, by its id."""
        self._gold_reasons: dict[str, str | None] = {}

    def add(self, found: Sequence[tuple[Row, Question | BadRow]], fault_of: Callable[[Question], str | None]) -> None:
        """Rows in their order, with their questions or why they hold none."""
        self._check_golds({question.answer for _, question in found if isinstance(question, Question)})
        for row, question in found:
            if not isinstance(question, Question):
                self.set_aside(row, str(question))
            elif fault := fault_of(question):
                self.set_aside(row, fault, question)
            else:
                self._add(row, question)

    def _add(self, row: Row, question: Question) -> None:
        reason = self._gold_reasons[question.answer]
        if reason is not None:
            self.set_aside(row, f"gold answer {question.answer[:60]!r}: {reason}", question)
            return
        self.rows += 1
        self._rows_of.setdefault(question.id, []).append(row)
        known = self._questions.setdefault(question.id, question)
        if len(self._rows_of[question.id]) == 1:
            return
        if known.turns != question.turns:
            self._in_conflict.setdefault(question.id, "messages before it")
        elif not self._same_gold(known.answer, question.answer):
            self._in_conflict.setdefault(question.id, "gold answers")
        solution = known.solution or question.solution
        self._questions[question.id] = dataclasses.replace(known, repeats=known.repeats + 1, solution=solution)

    def set_aside(self, row: Row, reason: str, question: Question | None = None) -> None:
        self.rows += 1
        self._quarantine(row, reason, question)

    def usable(self) -> list[Question]:
        for conflicting, what in self._in_conflict.items():
            for row in self._rows_of[conflicting]:
                reason = f"the question comes {len(self._rows_of[conflicting])} times with different {what}"
                self._quarantine(row, reason, self._questions[conflicting])
        self.quarantined.sort(key=lambda bad: (bad.file, bad.row))
        return [question for question in self._questions.values() if question.id not in self._in_conflict]

    def _quarantine(self, row: Row, reason: str, question: Question | None) -> None:
        self.quarantined.append(Quarantined(file=row.file, row=row.number, reason=reason, question=question))

    def _check_golds(self, golds: set[str]) -> None:
        unknown = sorted(golds - self._gold_reasons.keys())
        self._gold_reasons.update(zip(unknown, self._verifier.check_golds(unknown), strict=True))

    def _same_gold(self, known: str, again: str) -> bool:
        return known == again or self._verifier.compare(known, again).status is Status.CORRECT


def _refuse_if_bad(config: QuestionsConfig, rows: int, bad: Sequence[Quarantined], usable: int) -> None:
    if not rows:
        raise DataError(f"The dataset {config.path} holds no rows. Set questions.path to a dataset with questions.")
    first = "; ".join(f"{one.file} row {one.row}: {one.reason}" for one in bad[:3])
    if len(bad) > config.max_bad_share * rows or not usable:
        raise DataError(
            f"{len(bad)} of {rows} rows of {config.path} hold no question that can be asked and graded ({first}). "
            f"Mend them, or allow more with questions.max_bad_share (now {config.max_bad_share:g})."
        )
    if bad:
        logger.warning("%d of %d rows of %s are set aside: %s", len(bad), rows, config.path, first)


def _is_held_out(question: str, share: float) -> bool:
    return key(0, "held-out", question) < share * 2**128


def _at_most(count: int | None, questions: list[Question]) -> list[Question]:
    """``count`` questions chosen by a hash of their ids (a file may be sorted by difficulty), in the file's order."""
    if count is None or len(questions) <= count:
        return questions
    chosen = sorted(questions, key=lambda question: key(0, "subset", question.id))[:count]
    kept = {question.id for question in chosen}
    return [question for question in questions if question.id in kept]
