"""What a solution must pass before the student may train on it."""

from __future__ import annotations

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import pytest

from relift.config import PolicyConfig, QuestionsConfig
from relift.policy.model import load_student
from relift.questions import load_questions, render_solution
from relift.records import FinishReason, Question, TeacherAnswer, demonstration_id, question_id
from relift.teacher import DatasetTeacher, admit
from relift.verifier import Verifier

DATA = Path(__file__).parents[1] / "data"
FOREIGN = os.environ.get("RELIFT_DATA")
GSM8K = [
    (DATA / "gsm8k_200.parquet", 200),
    pytest.param(
        Path(FOREIGN or "") / "gsm8k_train.parquet",
        7_473,
        marks=[pytest.mark.slow, pytest.mark.skipif(not FOREIGN, reason="RELIFT_DATA names no folder")],
    ),
]
STUDENT = load_student(PolicyConfig(model="random-bytes"))
"""A token is a byte."""
QUESTION = Question(id=question_id("47*6?"), text="47*6?", answer="282", source="test")


@pytest.fixture(scope="module")
def verifier():
    with Verifier("boxed") as verifier:
        yield verifier


def offered(text: str, verifier: Verifier, max_tokens: int = 100, **given):
    return admit(
        QUESTION, text, source="dataset", verifier=verifier, write=STUDENT.write, max_tokens=max_tokens, **given
    )


def test_a_right_solution_is_admitted_with_its_length_and_cost(verifier):
    text = r"40*6+7*6 is \boxed{282}"
    answer = TeacherAnswer(
        text=text,
        finish_reason=FinishReason.STOP,
        input_tokens=1,
        output_tokens=1,
        cost_usd=0.01,
        latency_seconds=2.0,
    )
    demonstration = offered(f" {text}\n", verifier, answer=answer)
    assert demonstration.is_admitted
    assert demonstration.text == text
    assert demonstration.tokens == len(text) + 1
    assert demonstration.id == demonstration_id(QUESTION.id, text)
    assert (demonstration.question_id, demonstration.source) == (QUESTION.id, "dataset")
    assert (demonstration.cost_usd, demonstration.latency_seconds) == (0.01, 2.0)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (r"\boxed{281}", "wrong: 281 is not 282"),
        ("It is 282.", r"no_answer: no \boxed{}"),
        (r"\boxed{282", r"malformed: the last \boxed{} does not end"),
        (r"<think>\boxed{282}", "no_answer: the reasoning never ends"),
        (" \n", "empty"),
        ("x" * 100 + r"\boxed{282}", "too long: 112 tokens, at most 100"),
    ],
)
def test_a_refusal_says_which_check_failed(verifier, text, refusal):
    demonstration = offered(text, verifier)
    assert not demonstration.is_admitted
    assert demonstration.refusal == refusal


def test_end_of_sequence_counts_towards_the_limit_and_nothing_is_cut(verifier):
    text = r"\boxed{282}"
    assert offered(text, verifier, max_tokens=len(text) + 1).is_admitted
    refused = offered(text, verifier, max_tokens=len(text))
    assert refused.refusal == f"too long: {len(text) + 1} tokens, at most {len(text)}"
    assert refused.text == text


def test_the_dataset_teacher_answers_every_question_in_order(verifier):
    unsolved = dataclasses.replace(QUESTION, solution=None)
    right = dataclasses.replace(QUESTION, id="right", solution="40*6=<<40*6=240>>240, +42\n#### 282")
    wrong = dataclasses.replace(QUESTION, id="wrong", solution="#### 281")
    config = QuestionsConfig(format="gsm8k")
    teacher = DatasetTeacher(config, verifier=verifier, student=STUDENT, max_tokens=100)
    first, second, third = teacher.demonstrations([unsolved, right, wrong])
    assert (first.question_id, first.text, first.tokens) == (QUESTION.id, "", 0)
    assert first.refusal == "no solution in the dataset"
    assert second.is_admitted
    assert second.text == "40*6=240, +42\n\\boxed{282}"
    assert third.refusal == "wrong: 281 is not 282"


def test_an_arithmetic_chain_is_its_own_demonstration():
    config = QuestionsConfig(
        format="arithmetic", answer_form="equals", families={"mul2": 1, "eq": 1, "par": 1}, count=60, batch_size=8
    )
    with Verifier("equals") as verifier:
        loaded = load_questions(config, seed=0, verifier=verifier, held_out_per_family=1)
        teacher = DatasetTeacher(config, verifier=verifier, student=STUDENT, max_tokens=64)
        demonstrations = teacher.demonstrations(loaded.training)
    assert all(demonstration.is_admitted for demonstration in demonstrations)
    assert [d.text for d in demonstrations] == [q.solution for q in loaded.training]


@pytest.mark.parametrize(("path", "count"), GSM8K)
@pytest.mark.parametrize("form", ["boxed", "hashes"])
def test_every_human_solution_of_gsm8k_is_admitted_and_none_for_another_gold(path, count, form):
    config = QuestionsConfig(format="gsm8k", path=str(path), answer_form=form)
    with Verifier(form) as verifier:
        questions = list(load_questions(config, seed=0, verifier=verifier).by_id.values())
        teacher = DatasetTeacher(config, verifier=verifier, student=STUDENT, max_tokens=8_192)
        refused = [d.refusal for d in teacher.demonstrations(questions) if not d.is_admitted]
        assert (len(questions), refused) == (count, [])
        accepted, paired = [], 0
        for question, other in zip(questions, questions[1:] + questions[:1], strict=True):
            if value(question.answer) == value(other.answer):
                continue
            paired += 1
            swapped = dataclasses.replace(question, answer=other.answer)
            text = render_solution(question, config)
            accepted += [d for d in teacher.demonstrations([swapped]) if d.is_admitted or d.text != text]
        assert accepted == []
        assert paired > 0.9 * count


def value(gold: str) -> Fraction:
    return Fraction(gold.replace(",", ""))
