"""Benchmarks: questions that are only ever evaluated."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from relift.config import BenchmarkConfig, QuestionsConfig
from relift.errors import DataError
from relift.questions.load import QuestionSet, load_questions
from relift.questions.spelling import spelling
from relift.records import Question
from relift.verifier import Verifier
from relift.verifier.extraction import AnswerForm

log = logging.getLogger(__name__)


def with_benchmarks(
    questions: QuestionSet,
    benchmarks: Sequence[BenchmarkConfig],
    *,
    answer_form: AnswerForm,
    verifier: Verifier,
    fault_of: Callable[[Question], str | None] = lambda question: None,
) -> QuestionSet:
    """The same set with the benchmarks' questions, and without those questions among its own.

    Their golds are checked as evaluations will read them, in ``answer_form``, which need not be the training's.
    A question counts as the same in any ``spelling`` of it; how many were removed is logged. Raises DataError as
    ``load_questions`` does, which takes ``fault_of`` too, and where two benchmarks share a name.
    """
    if len({b.name for b in benchmarks}) < len(benchmarks):
        raise DataError("two of evaluation.benchmarks have the same name: give each its own, since results go by it")
    found: dict[str, Question] = {}
    for number, benchmark in enumerate(benchmarks):
        for question in _load(benchmark, f"evaluation.benchmarks.{number}", answer_form, verifier, fault_of):
            found.setdefault(question.id, question)
    spellings = {spelling(question.text) for question in found.values()}
    training = tuple(q for q in questions.training if spelling(q.text) not in spellings)
    held_out = tuple(q for q in questions.held_out if spelling(q.text) not in spellings)
    removed = len(questions.training) + len(questions.held_out) - len(training) - len(held_out)
    if removed:
        log.warning("%d questions of the dataset stand in a benchmark and are neither trained on nor held out", removed)
    return dataclasses.replace(questions, training=training, held_out=held_out, benchmarks=tuple(found.values()))


def _load(
    benchmark: BenchmarkConfig,
    section: str,
    answer_form: AnswerForm,
    verifier: Verifier,
    fault_of: Callable[[Question], str | None],
) -> list[Question]:
    columns = {"text_column": benchmark.text_column, "answer_column": benchmark.answer_column}
    config = QuestionsConfig.model_validate(
        {
            "format": benchmark.format,
            "path": benchmark.path,
            "answer_form": answer_form,
            "count": benchmark.questions,
            "held_out_share": 0.0,
            "max_bad_share": benchmark.max_bad_share,
            **(columns if benchmark.format == "rows" else {}),
        }
    )
    reading = verifier.reading(form=answer_form, rounded_golds=benchmark.rounded_golds)
    loaded = load_questions(config, seed=0, verifier=reading, fault_of=fault_of, section=section).training
    return [dataclasses.replace(q, source=_source(benchmark.name, q.source), solution=None) for q in loaded]


def _source(name: str, source: str) -> str:
    """The benchmark's name in place of the dataset's, and the part that the dataset names."""
    _, _, part = source.partition("/")
    return f"{name}/{part}" if part else name
