"""A student whose prompt opens the reasoning learns from teachers that reason: apart from the answer, or when told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relift.config import PolicyConfig
from relift.ledger import Ledger
from relift.policy.model import load_student
from relift.records import Demonstration, Question, question_id
from relift.teacher.answers import AnswerStore, FolderObjects
from relift.teacher.api import ApiTeacher
from relift.teacher.client import ApiClient
from relift.teacher.queue import TeacherQueue
from relift.verifier import Verifier
from tests.teacher.conftest import api_config
from tests.teacher.faulty_server import FaultyServer

QUESTION = Question(id=question_id("47*6?"), text="47*6?", answer="282", source="test")
THOUGHT, SOLUTION = "47*6 is 240+42.", r"It is \boxed{282}."
STUDENT = load_student(PolicyConfig(model="random-bytes", prompt_suffix="<think>\n"))
Message = Callable[[dict[str, Any], str], dict[str, Any]]


def taught(server: FaultyServer, folder: Path) -> Demonstration:
    config = api_config(server.url, instruction=None, timeout_seconds=5)
    with Verifier("boxed", think_opened=True) as verifier, Ledger.open(folder / "ledger.duckdb", "a") as ledger:
        teacher = ApiTeacher(
            ApiClient(config),
            requests=ledger.requests,
            answers=AnswerStore(FolderObjects(folder / ".teacher"), "a"),
            verifier=verifier,
            student=STUDENT,
            max_tokens=500,
        )
        queue = TeacherQueue([teacher])
        try:
            queue.ask([QUESTION])
            queue.wait(30)
            (found,), _ = queue.pick_up()
            return found
        finally:
            queue.close()


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_that_comes_apart_stands_where_the_student_writes_it(
    serve: Callable[..., FaultyServer], tmp_path: Path, name: str
) -> None:
    server = serve(message=lambda body, text: {"content": SOLUTION, name: THOUGHT})
    found = taught(server, tmp_path)
    assert (found.refusal, found.text) == (None, f"<think>\n{THOUGHT}\n</think>\n\n{SOLUTION}")
    learnt = STUDENT.decode(STUDENT.prompt(QUESTION).token_ids + STUDENT.solution_ids(found.text))
    assert learnt.endswith(f"<think>\n{THOUGHT}\n</think>\n\n{SOLUTION}")
    assert learnt.count("<think>") == 1


def test_a_teacher_that_does_what_it_is_told_is_told_to_reason(
    serve: Callable[..., FaultyServer], tmp_path: Path
) -> None:
    def obedient(body: dict[str, Any], text: str) -> dict[str, Any]:
        is_told = "between <think> and </think>" in body["messages"][0]["content"]
        return {"content": f"<think>{THOUGHT}</think>\n{SOLUTION}" if is_told else SOLUTION}

    found = taught(serve(message=obedient), tmp_path)
    assert (found.refusal, found.text) == (None, f"<think>{THOUGHT}</think>\n{SOLUTION}")


def test_a_solution_without_reasoning_is_refused_with_the_reason(
    serve: Callable[..., FaultyServer], tmp_path: Path
) -> None:
    found = taught(serve(message=lambda body, text: {"content": SOLUTION}), tmp_path)
    assert found.refusal == "no_answer: the reasoning never ends"
