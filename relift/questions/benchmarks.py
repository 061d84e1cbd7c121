"""Benchmarks: questions that are only ever evaluated."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from relift.config import BenchmarkConfig, QuestionsConfig
from relift.errors import DataError
from relift.questions.load import QuestionSet, load_questions
from relift.questions.overlap import NearDuplicates
from relift.questions.spelling import spelling
from relift.records import Question, question_id
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
    near_duplicates: float | None = None,
    refuses: bool = False,
) -> QuestionSet:
    """The same set with the benchmarks' questions, and without those questions among its own.

    Their golds are checked as evaluations will read them, in ``answer_form``, which need not be the training's.
    A question counts as the same in any ``spelling`` of it, and where its words are as similar as ``near_duplicates``
    says (``NearDuplicates``); how many were removed is logged. What a benchmark has in common with an earlier one gets
    an id of its own there. Raises DataError as ``load_questions`` does, which takes ``fault_of`` too, where two
    benchmarks share a name, and, listing some, for any such question where it ``refuses``.
    """
    if len({b.name for b in benchmarks}) < len(benchmarks):
        raise DataError("two of evaluation.benchmarks have the same name: give each its own, since results go by it")
    found: dict[str, Question] = {}
    for number, benchmark in enumerate(benchmarks):
        for question in _load(benchmark, f"evaluation.benchmarks.{number}", answer_form, verifier, fault_of):
            of_another = question.id in found
            own = dataclasses.replace(question, id=question_id(f"{benchmark.name}: {question.text}"))
            kept = own if of_another else question
            found[kept.id] = kept
    standing = _standing_in(found.values(), (*questions.training, *questions.held_out), near_duplicates)
    if standing and refuses:
        raise DataError(
            f"{len(standing)} questions of the dataset stand in a benchmark, and evaluation.overlap is 'refuse': "
            f"{_listed(standing)}. Take them out of the dataset, or have that done with evaluation.overlap='remove'."
        )
    if standing:
        log.warning(
            "%d questions of the dataset stand in a benchmark and are neither trained on nor held out, %d of them in "
            "other words or with other numbers: %s",
            len(standing),
            sum(spelling(q.text) != spelling(other.text) for q, other in standing.values()),
            _listed(standing),
        )
    training = tuple(q for q in questions.training if q.id not in standing)
    held_out = tuple(q for q in questions.held_out if q.id not in standing)
    return dataclasses.replace(questions, training=training, held_out=held_out, benchmarks=tuple(found.values()))


def _standing_in(
    benchmarks: Collection[Question], own: Iterable[Question], near_duplicates: float | None
) -> dict[str, tuple[Question, Question]]:
    """By id: a question of the dataset, and the benchmark's that it is or nearly is."""
    same = {spelling(question.text): question for question in reversed(tuple(benchmarks))}
    near = NearDuplicates(tuple(benchmarks), similarity=near_duplicates) if near_duplicates is not None else None
    pairs = ((q, same.get(spelling(q.text)) or (near.of(q.text) if near else None)) for q in own)
    return {question.id: (question, other) for question, other in pairs if other is not None}


def _listed(standing: Mapping[str, tuple[Question, Question]]) -> str:
    """The first few, each with what the benchmark says where that is another text."""
    some = list(standing.values())[:3]
    texts = [f"{q.text[:80]!r}" + ("" if q.text == o.text else f" as {o.text[:80]!r}") for q, o in some]
    return "; ".join([f"{text} in {other.source}" for text, (_, other) in zip(texts, some, strict=True)])


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
