"""A harvest asks teachers what a run would ask them, and asks nobody before its own checks are done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from relift.config import RunConfig
from relift.config.recipe import load_recipe
from relift.errors import ConfigError, RunError
from relift.opening.harvest import open_harvest
from relift.records import Question, Turn, question_id
from relift.run import harvest as harvests
from relift.teacher.queue import TeacherQueue
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import KEY, FaultyServer, Script, serving

TEXT = "And 2+2?"
BEFORE = [{"role": "user", "content": "What is 1+1?"}, {"role": "assistant", "content": "2"}]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(FaultyServer({}, Script())) as server:
        yield server


def config_of(folder: Path, server: FaultyServer, *more: str) -> RunConfig:
    path = folder / "rows.jsonl"
    chat = [*BEFORE, {"role": "user", "content": TEXT}]
    path.write_text(json.dumps({"question": chat, "answer": "4"}) + "\n")
    dataset = ["questions.format=rows", f"questions.path={path}", f"store={folder / 'runs'}"]
    return load_recipe("gsm8k", [*dataset, *api_settings(server.url), *more])


def test_teachers_are_told_what_the_row_of_an_open_question_says_before_it(
    tmp_path: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    in_ledger = Question(id=question_id(TEXT), text=TEXT, answer="4", source="rows")
    monkeypatch.setattr(harvests, "open_questions", lambda store, limit: [in_ledger])
    asked: list[Question] = []

    def ask(self: object, questions: Sequence[Question]) -> None:
        asked.extend(questions)

    monkeypatch.setattr(TeacherQueue, "ask", ask)
    config = config_of(tmp_path, server)
    with open_harvest(config, "harvest") as harvest:
        assert harvest.ask(limit=10) == 1
    assert asked[0].turns == (Turn(role="user", text="What is 1+1?"), Turn(role="assistant", text="2"))
    (tmp_path / "rows.jsonl").unlink()
    with open_harvest(config, "harvest") as harvest:
        assert harvest.ask(limit=10) == 1
    assert asked[1].turns == () and "teachers are not told what rows of the dataset say" in caplog.text


def test_a_teacher_of_ones_own_that_cannot_be_used_is_refused_before_a_harvest_exists(
    tmp_path: Path, server: FaultyServer
) -> None:
    own = 'teacher.sources=["api", "nowhere_at_all:solve"]'
    with pytest.raises(ConfigError, match=r"teacher\.sources\.1\.kind='nowhere_at_all:solve'"):
        open_harvest(config_of(tmp_path, server, own), "harvest")
    assert server.checks == [] and not (tmp_path / "runs" / "harvest").exists()


def test_nobody_is_asked_for_a_harvest_that_cannot_begin(tmp_path: Path, server: FaultyServer) -> None:
    nowhere = ["questions.answer_kind=callable", "questions.answer_callable=nowhere:f"]
    with pytest.raises(ConfigError, match="cannot be used"):
        open_harvest(config_of(tmp_path, server, *nowhere), "harvest")
    assert server.checks == [] and not (tmp_path / "runs" / "harvest").exists()
    config = config_of(tmp_path, server)
    with open_harvest(config, "harvest"):
        sent = len(server.checks)
        with pytest.raises(RunError, match="being written by another process"):
            open_harvest(config, "harvest")
        assert len(server.checks) == sent == 1
