"""A student that reads arithmetic, a ledger, and a queue in front of a scripted server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from relift.arithmetic import arithmetic_questions
from relift.config import ApiTeacherConfig, PolicyConfig
from relift.ledger import Ledger
from relift.policy.model import load_student
from relift.policy.student import Student
from relift.records import Question
from relift.teacher.answers import AnswerStore, FolderObjects
from relift.teacher.api import ApiTeacher
from relift.teacher.client import ApiClient
from relift.teacher.intervention import Interventions
from relift.teacher.queue import Teacher, TeacherQueue
from relift.verifier import Verifier
from tests.teacher.faulty_server import KEY, MODEL, FaultyServer, Script, serving


@pytest.fixture(scope="session")
def student() -> Student:
    return load_student(PolicyConfig(model="arithmetic", max_prompt_tokens=48))


@pytest.fixture(scope="session")
def questions() -> list[Question]:
    return arithmetic_questions({"mul2": 1, "eq": 1, "par": 1}, 120, seed=5)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def serve(questions: list[Question]) -> Iterator[Callable[..., FaultyServer]]:
    """Starts a server that knows the questions' solutions, or those it is given."""
    with ExitStack() as stack:

        def started(script: Script | None = None, **more: object) -> FaultyServer:
            solutions = {q.text: q.solution or "" for q in questions}
            server = FaultyServer(**{"solutions": solutions, "script": script or Script(), **more})  # type: ignore[arg-type]
            return stack.enter_context(serving(server))

        yield started


def api_config(url: str, **more: object) -> ApiTeacherConfig:
    settings = {
        "model": MODEL,
        "base_url": url,
        "instruction": "",
        "candidates": 1,
        "rounds": 1,
        "timeout_seconds": 1.0,
        "backoff_seconds": 0.01,
        **more,
    }
    return ApiTeacherConfig.model_validate(settings)


@pytest.fixture
def open_queue(tmp_path: Path, student: Student) -> Iterator[Callable[..., tuple[TeacherQueue, Ledger]]]:
    """A queue before the API of a configuration, with the ledger of a run; several of one name share nothing else."""
    with ExitStack() as stack:
        verifier = stack.enter_context(Verifier("equals"))

        def opened(
            config: ApiTeacherConfig,
            run: str = "a",
            before: tuple[Teacher, ...] = (),
            after: tuple[Teacher, ...] = (),
            interventions: Interventions | None = None,
        ) -> tuple[TeacherQueue, Ledger]:
            ledger = stack.enter_context(Ledger.open(tmp_path / run / "ledger.duckdb", run))
            api = ApiTeacher(
                ApiClient(config),
                requests=ledger.requests,
                answers=AnswerStore(FolderObjects(tmp_path / ".teacher"), run),
                verifier=verifier,
                student=student,
                max_tokens=48,
                interventions=interventions,
            )
            queue = TeacherQueue((*before, api, *after))
            stack.callback(queue.close)
            return queue, ledger

        yield opened
