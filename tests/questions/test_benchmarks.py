"""Benchmarks are evaluated, never trained on."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from relift.config import BenchmarkConfig, EvaluationConfig, QuestionsConfig
from relift.errors import DataError
from relift.questions import QuestionSet, load_questions, with_benchmarks
from relift.questions.overlap import NearDuplicates
from relift.records import Question
from relift.verifier import Verifier


def write_rows(path: Path, numbers: range) -> Path:
    rows = ({"question": f"What is {i} + {i}?", "answer": str(2 * i), "worked": "x"} for i in numbers)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dataset(path: Path, verifier: Verifier) -> QuestionSet:
    return load_questions(QuestionsConfig(path=str(path), held_out_share=0.2), seed=0, verifier=verifier)


def test_what_stands_in_a_benchmark_is_neither_trained_on_nor_held_out(tmp_path: Path) -> None:
    with Verifier("boxed") as verifier:
        own = dataset(write_rows(tmp_path / "train.jsonl", range(100)), verifier)
        benchmark = BenchmarkConfig(name="even", path=str(write_rows(tmp_path / "test.jsonl", range(80, 120))))
        found = with_benchmarks(own, [benchmark], answer_form="boxed", verifier=verifier)
    assert {q.text for q in found.benchmarks} == {f"What is {i} + {i}?" for i in range(80, 120)}
    assert {q.source for q in found.benchmarks} == {"even"}
    assert len(found.training) + len(found.held_out) == 80
    shared = {q.id for q in found.benchmarks} & {q.id for q in (*found.training, *found.held_out)}
    assert shared == set()
    assert len(found.by_id) == 120


def test_at_most_so_many_questions_are_taken_and_the_same_ones_each_time(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "test.jsonl", range(50))
    benchmark = BenchmarkConfig(name="few", path=str(path), questions=7)
    with Verifier("boxed") as verifier:
        empty = QuestionSet(training=(), held_out=())
        first, second = (
            with_benchmarks(empty, [benchmark], answer_form="boxed", verifier=verifier).benchmarks for _ in range(2)
        )
    assert len(first) == 7
    assert first == second


def test_two_benchmarks_of_one_name_are_refused(tmp_path: Path) -> None:
    benchmark = BenchmarkConfig(name="twice", path=str(write_rows(tmp_path / "test.jsonl", range(3))))
    with Verifier("boxed") as verifier, pytest.raises(DataError, match="same name"):
        with_benchmarks(
            QuestionSet(training=(), held_out=()), [benchmark, benchmark], answer_form="boxed", verifier=verifier
        )


def test_k_is_the_sources_own_then_the_benchmarks_then_the_evaluations() -> None:
    reference = BenchmarkConfig(name="reference", path="x", samples=4, samples_of={"aime": 32})
    config = EvaluationConfig(samples=2, benchmarks=(reference, BenchmarkConfig(name="plain", path="y")))
    asked = ("reference/aime", "reference/math", "plain", "arithmetic/add3")
    assert [config.samples_for(source) for source in asked] == [32, 4, 2, 2]


WORD_PROBLEMS = Path(__file__).parents[1] / "data"


def word_problems(name: str) -> str:
    return str(WORD_PROBLEMS / f"word_problems_{name}.jsonl")


def loaded_word_problems(verifier: Verifier) -> QuestionSet:
    config = QuestionsConfig(path=word_problems("train"), answer_form="hashes", held_out_share=0.2)
    return load_questions(config, seed=0, verifier=verifier)


def test_what_says_nearly_the_same_with_other_numbers_stands_in_the_benchmark_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SVAMP varies questions of ASDiv-A: four of these 39 are such, none the same in another spelling."""
    benchmark = BenchmarkConfig(name="svamp", path=word_problems("test"))
    with Verifier("hashes") as verifier:
        own = loaded_word_problems(verifier)
        spelled, near = (
            with_benchmarks(own, [benchmark], answer_form="hashes", verifier=verifier, near_duplicates=similarity)
            for similarity in (None, 0.75)
        )
    assert len(spelled.training) + len(spelled.held_out) == 39
    assert len(near.training) + len(near.held_out) == 35
    assert (
        "4 questions of the dataset stand in a benchmark" in caplog.text and "4 of them in other words" in caplog.text
    )
    assert "'Kelly has 50 Nintendo games." in caplog.text


def test_a_dataset_with_questions_of_a_benchmark_is_refused_where_that_is_asked_for(tmp_path: Path) -> None:
    with Verifier("boxed") as verifier:
        own = dataset(write_rows(tmp_path / "train.jsonl", range(100)), verifier)
        benchmark = BenchmarkConfig(name="even", path=str(write_rows(tmp_path / "test.jsonl", range(80, 120))))
        with pytest.raises(DataError, match=r"20 questions .* 'What is 80 \+ 80\?' in even;.*overlap='remove'"):
            with_benchmarks(own, [benchmark], answer_form="boxed", verifier=verifier, refuses=True)


def test_two_benchmarks_of_one_file_ask_their_questions_each() -> None:
    """Else the second would be reported on what the first had left to it."""
    config = EvaluationConfig(
        benchmarks=(
            BenchmarkConfig(name="svamp", path=word_problems("test")),
            BenchmarkConfig(name="svamp-8", path=word_problems("test"), questions=8, samples=8, temperature=1.0),
        )
    )
    with Verifier("hashes") as verifier:
        own = loaded_word_problems(verifier)
        found = with_benchmarks(own, config.benchmarks, answer_form="hashes", verifier=verifier)
    sources = [question.source for question in found.benchmarks]
    assert (sources.count("svamp"), sources.count("svamp-8")) == (20, 8)
    assert len({question.id for question in found.benchmarks}) == 28
    assert {q.text for q in found.benchmarks if q.source == "svamp-8"} < {q.text for q in found.benchmarks}
    assert [config.temperature_for(source) for source in ("svamp", "svamp-8", "train")] == [0.0, 1.0, 0.0]


def test_near_duplicates_are_those_that_comparing_every_pair_finds() -> None:
    with Verifier("hashes") as verifier:
        own = loaded_word_problems(verifier)
    questions = [*own.training, *own.held_out]

    def words(text: str) -> Counter[str]:
        return Counter(re.findall(r"[^\W_]+", re.sub(r"\d+(?:[.,]\d+)*", "0", text.lower())))

    def similarity(one: str, other: str) -> float:
        a, b = words(one), words(other)
        return (a & b).total() / (a | b).total()

    for bar in (0.2, 0.35, 0.5):
        near = NearDuplicates(questions[20:], similarity=bar)
        for question in questions[:20]:
            best = max(similarity(question.text, other.text) for other in questions[20:])
            found = near.of(question.text)
            assert (found is not None) is (best >= bar)
            assert found is None or similarity(question.text, found.text) == best


def test_near_duplicates_that_are_just_similar_enough_are_found() -> None:
    """Three words of five in common; what is not in common comes first in the order by rarity."""
    held_out = Question(id="h", text="a b c e", answer="1", source="s")
    assert NearDuplicates([held_out], similarity=0.6).of("a b c d") == held_out
    assert NearDuplicates([held_out], similarity=0.61).of("a b c d") is None
