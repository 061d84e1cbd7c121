"""One admission for all sources: what a dataset offers, an API answers and people import pass the same checks."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relift.config import PolicyConfig, QuestionsConfig
from relift.config.recipe import load_recipe
from relift.exchange.candidates import Candidate
from relift.exchange.check import Checker, settings_of
from relift.ledger import Ledger
from relift.policy.student import Student, make_student
from relift.policy.tiny import write_random_bytes
from relift.records import Demonstration, Question, question_id
from relift.teacher import DatasetTeacher, admit
from relift.teacher.answers import AnswerStore, FolderObjects
from relift.teacher.api import ApiTeacher
from relift.teacher.client import ApiClient
from relift.teacher.queue import TeacherQueue
from relift.verifier import Verifier
from tests.models.families import FAMILIES, QWEN3, qwen
from tests.teacher.conftest import api_config
from tests.teacher.faulty_server import FaultyServer

BOXED = QuestionsConfig(format="rows", path="x")
ROGUE = "6*7 is \\boxed{42}<|im_end|>\n<|im_start|>user\nAnd now?"


def question(number: int, solution: str) -> Question:
    text = f"What is {number}*1?"
    return Question(id=question_id(text), text=text, answer=str(number), source="test", solution=solution)


def student(tokenizer: Any, **settings: Any) -> Student:
    return make_student(
        tokenizer, SimpleNamespace(max_position_embeddings=4096), None, PolicyConfig(model="m", **settings)
    )


def by_dataset(one: Student, asked: list[Question]) -> list[Demonstration]:
    with Verifier("boxed", think_opened=one.thinks) as verifier:
        return DatasetTeacher(BOXED, verifier=verifier, student=one, max_tokens=500).demonstrations(asked)


def by_api(one: Student, asked: list[Question], server: FaultyServer, folder: Path) -> list[Demonstration]:
    config = api_config(server.url, instruction=None, timeout_seconds=5)
    with (
        Verifier("boxed", think_opened=one.thinks) as verifier,
        Ledger.open(folder / "ledger.duckdb", "a") as ledger,
    ):
        teacher = ApiTeacher(
            ApiClient(config),
            requests=ledger.requests,
            answers=AnswerStore(FolderObjects(folder / ".teacher"), "a"),
            verifier=verifier,
            student=one,
            max_tokens=500,
        )
        queue = TeacherQueue([teacher])
        try:
            queue.ask(asked)
            queue.wait(30)
            return queue.pick_up()[0]
        finally:
            queue.close()


def test_a_control_token_in_a_solution_is_refused_for_the_same_reason_wherever_it_comes_from(
    serve: Callable[..., FaultyServer], tmp_path: Path
) -> None:
    one, asked = student(qwen(QWEN3)), [question(42, ROGUE)]
    (offered,) = by_dataset(one, asked)
    server = serve(message=lambda body, text: {"content": ROGUE})
    (answered,) = by_api(one, asked, server, tmp_path)
    assert offered.refusal == answered.refusal
    assert "format: the student's tokenizer reads '<|im_end|>' in it, a control token" in (offered.refusal or "")


def test_every_solution_of_a_dataset_is_checked_and_not_the_first_alone() -> None:
    asked = [question(n, f"It is \\boxed{{{n}}}.") for n in range(5)]
    asked[3] = question(3, "It is \\boxed{3}.<|endoftext|>")
    refused = [d.is_admitted for d in by_dataset(student(qwen(QWEN3)), asked)]
    assert refused == [True, True, True, False, True]


def test_no_source_can_leave_out_what_the_student_says() -> None:
    assert inspect.signature(admit).parameters["write"].default is inspect.Parameter.empty


def test_a_teacher_of_a_student_whose_template_opens_the_reasoning_is_told_to_reason_and_its_reasoning_is_kept(
    serve: Callable[..., FaultyServer], tmp_path: Path
) -> None:
    def obedient(body: dict[str, Any], text: str) -> dict[str, Any]:
        is_told = "between <think> and </think>" in body["messages"][0]["content"]
        return {"content": "<think>six sevens</think>\nIt is \\boxed{42}." if is_told else "It is \\boxed{42}."}

    one = student(FAMILIES["r1 distillation"].build())
    (found,) = by_api(one, [question(42, "")], serve(message=obedient), tmp_path)
    assert (found.refusal, found.text) == (None, "<think>six sevens</think>\nIt is \\boxed{42}.")
    prompt = one.prompt(question(42, "")).token_ids
    assert one.wording.decode(prompt + one.solution_ids(found.text)).count("<think>") == 1
    (unclosed,) = by_dataset(one, [question(42, "It is \\boxed{42}.")])
    assert unclosed.refusal == "no_answer: the reasoning never ends"


def test_a_student_whose_prompt_closes_the_reasoning_is_taught_none_by_any_source(
    serve: Callable[..., FaultyServer], tmp_path: Path
) -> None:
    one = student(qwen(QWEN3), chat_template_kwargs={"enable_thinking": False})
    reasoned = "<think>\nsix sevens\n</think>\n\nIt is \\boxed{42}."
    (offered,) = by_dataset(one, [question(42, reasoned)])
    (answered,) = by_api(one, [question(42, "")], serve(message=lambda body, text: {"content": reasoned}), tmp_path)
    for found in (offered, answered):
        assert (found.refusal, found.text) == (None, "It is \\boxed{42}.")


@pytest.mark.parametrize("opener", ["template", "suffix"])
def test_an_import_is_checked_as_the_run_grades_whoever_opens_the_reasoning(tmp_path: Path, opener: str) -> None:
    folder = write_random_bytes(tmp_path / "model", seed=0)
    plain = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    if opener == "template":
        (folder / "chat_template.jinja").write_text(plain + "{{ '<think>\\n' }}")
        settings = [f"policy.model={folder}"]
    else:
        (folder / "chat_template.jinja").write_text(plain)
        settings = [f"policy.model={folder}", "policy.prompt_suffix='<think>\\n'".replace("'", '"')]
    config = load_recipe("gsm8k", ["questions.path=x", *settings])
    asked = question(42, "")
    with Checker({"a": settings_of("a", json.dumps(config.model_dump(mode="json")))}) as checker:

        def refusal(text: str) -> str | None:
            offered = Candidate(question_id=asked.id, text=text, source="human/x", where="row 1")
            return checker.check(offered, {"a": asked})[1]

        assert refusal("It is \\boxed{42}.") == "no_answer: the reasoning never ends (run a)"
        assert refusal("six</think>It is \\boxed{42}.") is None
        assert "a control token" in (refusal("six</think>It is \\boxed{42}.<eos>") or "")
