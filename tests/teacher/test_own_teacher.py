"""A teacher of one's own: a function or a class, admitted like any other, and never waited for."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relift.config import PluginConfig, QuestionsConfig
from relift.errors import ConfigError
from relift.opening.run import open_run
from relift.phases.tables import demonstrations_to_parquet
from relift.policy.student import Student
from relift.records import Demonstration, Question
from relift.teacher import DatasetTeacher, own
from relift.teacher.own import OwnTeacher, load_solver
from relift.teacher.queue import TeacherQueue
from relift.verifier import Verifier
from tests.small_run import small_config

MODULE = types.ModuleType("teachers_of_the_tests")
MODULE.__file__ = __file__
sys.modules[MODULE.__name__] = MODULE
OpenQueue = Callable[..., TeacherQueue]


def named(target: Any) -> str:
    setattr(MODULE, target.__name__, target)
    return f"{MODULE.__name__}:{target.__name__}"


@pytest.fixture
def open_queue(student: Student) -> Iterator[OpenQueue]:
    """A queue before functions of the test, behind the dataset where that is asked for."""
    door = {"student": student, "max_tokens": 48}
    desks: list[TeacherQueue] = []
    with Verifier("equals") as verifier:

        def opened(*solvers: Callable[[Question], Any], dataset: bool = False) -> TeacherQueue:
            config = QuestionsConfig(format="arithmetic", answer_form="equals", families={"mul2": 1}, count=1)
            before = [DatasetTeacher(config, verifier=verifier, **door)] if dataset else []  # type: ignore[arg-type]
            mine = [OwnTeacher(each, f"mine:{each.__name__}", verifier=verifier, **door) for each in solvers]  # type: ignore[arg-type]
            desks.append(TeacherQueue([*before, *mine]))
            return desks[-1]

        yield opened
        for queue in desks:
            queue.close(0.0)


def offered(queue: TeacherQueue, questions: list[Question], seconds: float = 30.0) -> list[Demonstration]:
    queue.ask(questions)
    queue.wait(seconds)
    demonstrations, _ = queue.pick_up()
    queue.delivered(demonstrations)
    return demonstrations


def test_one_text_several_or_none_pass_the_admission_of_all(open_queue: OpenQueue, questions: list[Question]) -> None:
    def solved(question: Question) -> str | None:
        return question.solution

    def several(question: Question) -> list[str]:
        return [f"{question.solution}={question.answer}", question.solution or "", "1=1"]

    found = offered(open_queue(solved), questions[:5])
    assert [(d.text, d.source, d.refusal) for d in found] == [(q.solution, "mine:solved", None) for q in questions[:5]]
    first, *rest = offered(open_queue(several), questions[:1])
    assert (first.text, first.is_admitted) == (questions[0].solution, True)
    assert sorted((d.refusal or "").partition(":")[0] for d in rest) == ["not the shortest", "wrong"]
    assert offered(open_queue(lambda question: None), questions[:1])[0].refusal == "no solution: mine:<lambda> has none"


def test_what_fails_costs_its_question_with_the_reason_and_the_next_teacher_is_asked(
    open_queue: OpenQueue, questions: list[Question]
) -> None:
    def fails(question: Question) -> str:
        raise KeyError(question.text)

    def leaves(question: Question) -> str:
        raise SystemExit(3)

    def numbers(question: Question) -> list[int]:
        return [3]

    def number(question: Question) -> int:
        return 3

    def strange(question: Question) -> str:
        return "\ud800"

    asked = questions[:1]
    kinds = [
        offered(open_queue(function), asked)[0].refusal or "" for function in (fails, leaves, numbers, number, strange)
    ]
    assert kinds[0] == f"teacher failed: KeyError: {asked[0].text!r}"
    assert kinds[1] == "teacher failed: SystemExit: 3"
    assert kinds[2] == "teacher failed: it returned int, no text"
    assert kinds[3].startswith("teacher failed: TypeError")
    assert kinds[4].startswith(("format", "unchecked")), kinds[4]
    both = offered(open_queue(fails, lambda question: question.solution), asked)
    assert [d.is_admitted for d in both] == [True, False]


def test_whatever_it_returns_or_raises_costs_its_question_alone(
    open_queue: OpenQueue, questions: list[Question]
) -> None:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def odd(question: Question) -> Any:
        index = [one.id for one in questions].index(question.id)
        if index == 0:
            raise Speechless
        if index == 1:
            raise ValueError("\ud800")
        returned = (
            itertools.repeat("1=1"),
            "\ud800=1",
            "7 " * 5_000_000,
            {"solution": "1=1"},
            b"1=1",
            question.solution,
        )
        return returned[index - 2]

    found = {d.question_id: d for d in offered(open_queue(odd), questions[:8])}
    demonstrations_to_parquet(list(found.values()))
    assert [found[question.id].refusal for question in questions[:8]] == [
        "teacher failed: Speechless",
        "teacher failed: ValueError: \ud800",
        "teacher failed: ValueError: more than 64 solutions of one question",
        "unchecked: TypeError",
        "teacher failed: it returned a text of 10000000 characters, of which at most 1000000 are looked at",
        "teacher failed: it returned dict, no text",
        "teacher failed: it returned bytes, no text",
        None,
    ]


def test_it_is_asked_for_what_the_dataset_could_not_solve_and_both_reasons_are_kept(
    open_queue: OpenQueue, questions: list[Question]
) -> None:
    asked = [questions[0], dataclasses.replace(questions[1], solution=None)]
    seen: list[str] = []
    found = offered(open_queue(lambda question: seen.append(question.id), dataset=True), asked)
    assert seen == [asked[1].id]
    assert len({d.id for d in found}) == len(found) == 3, "the ledger keeps one row of an id"
    assert [d.refusal for d in found if d.question_id == asked[1].id] == [
        "no solution: mine:<lambda> has none",
        "no solution in the dataset",
    ]


def test_one_that_never_returns_is_not_waited_for_and_its_questions_stay_owed(
    open_queue: OpenQueue, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hangs(question: Question) -> str | None:
        if question is questions[1]:
            released.wait()
        return question.solution

    queue = open_queue(hangs)
    queue.ask(questions[:3])
    queue.wait(0.3)
    found, owed = queue.pick_up()
    assert [d.question_id for d in found] == [questions[0].id]
    assert owed == [questions[1].id, questions[2].id]
    monkeypatch.setattr(own, "LONG_SECONDS", 0.1)
    assert queue.trouble.startswith("the teacher mine:hangs has not answered for")
    queue.close(0.0)
    released.set()


class Lookup:
    def __init__(self, *, path: str = "there") -> None:
        self.path = Path(path)
        if path == "nowhere":
            raise FileNotFoundError(path)

    def __call__(self, question: Question) -> str | None:
        return question.solution


class Silent:
    pass


class WantsMore:
    def __call__(self, question: Question, student: Student) -> str:
        return ""


def by_text(text: str) -> str:
    return text


def test_a_class_is_made_with_its_settings_and_then_called(questions: list[Question]) -> None:
    solver, digest = load_solver(PluginConfig(kind=named(Lookup), settings={"path": "x.jsonl"}), 0)
    assert (solver(questions[0]), len(digest)) == (questions[0].solution, 64)
    assert isinstance(solver, Lookup) and solver.path == Path("x.jsonl")


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (
            by_text,
            {},
            r"teacher\.sources\.1\.kind='.*by_text' takes \(text: .*a teacher is something to call that takes",
        ),
        (Silent, {}, "once made, is Silent; a teacher is something to call"),
        (WantsMore, {}, "once made, wants student as well; it is called with a question alone"),
        (Lookup, {"path": "nowhere"}, "fails when it is made: FileNotFoundError: nowhere"),
        (Lookup, {"pth": "x"}, r"teacher\.sources\.1\.settings\.pth: no such setting \(did you mean"),
    ],
)
def test_what_is_no_teacher_is_refused_by_name_before_there_is_a_run(
    target: Any, settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    more = [f'teacher.sources.1.settings.{name}="{value}"' for name, value in settings.items()]
    config = small_config(tmp_path / "runs", f'teacher.sources=["dataset","{named(target)}"]', *more)
    with pytest.raises(ConfigError, match=message):
        open_run(config, "small")
    assert not (tmp_path / "runs" / "small").exists()


def test_where_nothing_is_taught_it_is_not_even_looked_for(tmp_path: Path) -> None:
    config = small_config(tmp_path / "runs", "sft=off", 'teacher.sources=["no_such_module:x"]')
    with open_run(config, "small") as run:
        assert run.teachers.busy == 0
