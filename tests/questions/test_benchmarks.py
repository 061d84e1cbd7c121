"""Benchmarks are evaluated, never trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relift.config import BenchmarkConfig, EvaluationConfig, QuestionsConfig
from relift.errors import DataError
from relift.questions import QuestionSet, load_questions, with_benchmarks
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
