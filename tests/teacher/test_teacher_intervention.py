"""One step asked for in place of a solution: what is asked, what of a reply is taken, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from relift.config import QuestionsConfig
from relift.interleave.steps import steps_of
from relift.ledger import Ledger
from relift.policy.student import Student
from relift.records import Demonstration, DemonstrationKind, FinishReason, Question, TeacherAnswer, question_id
from relift.teacher import DatasetTeacher
from relift.teacher.admission import admit_or_say
from relift.teacher.intervention import Interventions
from relift.teacher.queue import TeacherQueue
from relift.verifier import Verifier
from tests.teacher.conftest import api_config
from tests.teacher.faulty_server import FAULTY, FaultyServer

QUESTION = Question(id=question_id("47*6?"), text="47*6?", answer="282", source="arithmetic/mul2")
MISTAKE = "40*6+7*6=240+41=281"
STEPS = Interventions(mark="=", longest_step=40)


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier("equals") as made:
        yield made


def read(
    reply: str, student: Student, verifier: Verifier, *, mistake: str = MISTAKE, end: FinishReason = FinishReason.STOP
) -> Demonstration:
    answer = TeacherAnswer(text=reply, finish_reason=end, input_tokens=1, output_tokens=1, cost_usd=0.5)
    checks = {"verifier": verifier, "write": student.write, "max_tokens": 48}
    return admit_or_say(QUESTION, mistake, source="api/x", answer=answer, by=STEPS.admit, **checks)


@pytest.mark.parametrize(
    ("reply", "target"),
    [
        ("STEP 2\n240+42", "40*6+7*6=240+42="),
        ("step 2:\r\n 240+42= \n", "40*6+7*6=240+42="),
        ("<think>hm, STEP 1\n9</think>\nSTEP 1\n42*6+5*6", "42*6+5*6="),
        ("STEP 3\n282", "40*6+7*6=240+41=282"),  # the right answer is where a completion ends
    ],
)
def test_the_target_is_what_was_right_and_the_teachers_step(
    reply: str, target: str, student: Student, verifier: Verifier
) -> None:
    found = read(reply, student, verifier)
    assert (found.text, found.refusal, found.kind) == (target, None, DemonstrationKind.INTERVENTION)
    assert found.tokens == len(student.opened(target)) and found.cost_usd == 0.5


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        ("", "format: it is not STEP"),
        ("240+42", "format: it is not STEP"),
        ("The first wrong one:\nSTEP 2\n240+42", "format: it is not STEP"),
        ("STEP 2", "format: it is not STEP"),
        ("STEP -1\n240+42", "format: it is not STEP"),
        ("STEP 99999999999999999999\n240+42", "format: it is not STEP"),
        ("STEP ٢\n240+42", "format: it is not STEP"),
        ("STEP 0\n240+42", "format: it names step 0 of 3"),
        ("STEP 4\n282", "format: it names step 4 of 3"),
        ("STEP 2\n240+42=282", "format: what is to stand there is not one step"),
        ("STEP 2\n===", "format: what is to stand there is not one step"),
        ("STEP 2\n240+41=", "unchanged: step 2 is as it was"),
        ("STEP 2\n" + "1+" * 100_000 + "1", "too long: a step of 200001 characters, at most 40"),
        ("STEP 2\nthe result", "format: the student's tokenizer cannot write"),
        ("STEP 2\n240+42<eos>", "format: "),
        ("STEP 2\n\ud800", "unchecked: "),
        ('{"step": 2, "replacement": "240+42"}', "format: it is not STEP"),
    ],
)
def test_what_is_no_intervention_is_refused_by_name(
    reply: str, refusal: str, student: Student, verifier: Verifier
) -> None:
    found = read(reply, student, verifier)
    assert (found.refusal or "").startswith(refusal)


def test_what_the_teacher_could_not_end_or_does_not_fit_is_refused(student: Student, verifier: Verifier) -> None:
    assert (read("STEP 2\n240+42", student, verifier, end=FinishReason.LENGTH).refusal or "").startswith("truncated")
    long = "1+" * 22 + "1=2=3"
    assert (read("STEP 3\n240+42", student, verifier, mistake=long).refusal or "").startswith("too long: 55 tokens")


def corrects(server: FaultyServer) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    """A teacher that finds the first step that is not the solution's."""

    def message(body: dict[str, Any], text: str) -> dict[str, Any]:
        asked, _, shown = body["messages"][-1]["content"].partition("\n\nThe wrong solution:\n\n")
        if not shown:
            return {"content": text}
        said = [line.partition(": ")[2] for line in shown.splitlines()]
        right = list(steps_of(server.solutions[asked], "="))
        number = next((n for n, (a, b) in enumerate(zip(said, right, strict=False)) if a != b), len(right) - 1)
        return {"content": f"STEP {number + 1}\n{right[number]}"}

    return message


Serve = Callable[..., FaultyServer]
OpenQueue = Callable[..., tuple[TeacherQueue, Ledger]]


def test_a_request_shows_the_mistake_and_has_a_key_of_its_own(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve()
    server.message = corrects(server)
    queue, ledger = open_queue(api_config(server.url), interventions=STEPS)
    asked = [q for q in questions if q.solution and len(steps_of(q.solution, "=")) > 1][:12]
    mistakes = {q.id: "1=2" for q in asked[:10]}
    queue.ask(asked, mistakes)
    queue.wait(60)
    found, _ = queue.pick_up()
    by_id = {q.id: q for q in asked}
    kinds = {d.question_id: d.kind for d in found if d.is_admitted}
    assert set(kinds) == set(by_id)
    assert all((kind is DemonstrationKind.INTERVENTION) is (q in mistakes) for q, kind in kinds.items())
    for one in found:
        solution = by_id[one.question_id].solution or ""
        assert one.text == (steps_of(solution, "=")[0] if one.question_id in mistakes else solution)
    rows = ledger.execute("SELECT question_id, prompt, parameters_json FROM teacher_requests WHERE question_id <> ''")
    for question, prompt, parameters in rows:
        assert (json.loads(parameters).get("kind") == "intervention") is (question in mistakes)
        assert ("1: 1=\\n2: 2" in prompt) is (question in mistakes)
    assert len({body["max_tokens"] for body in server.bodies}) == 1
    assert all(set(body) <= {"model", "messages", "max_tokens", "temperature"} for body in server.bodies)


def test_a_faulty_server_teaches_no_step_that_it_did_not_write(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve(FAULTY)
    server.message = corrects(server)
    queue, _ = open_queue(api_config(server.url, concurrency=16, attempts=8), interventions=STEPS)
    asked = [q for q in questions if q.solution and len(steps_of(q.solution, "=")) > 1][:40]
    queue.ask(asked, {q.id: "1=2" for q in asked})
    queue.wait(60)
    found, _ = queue.pick_up()
    first = {q.id: steps_of(q.solution or "", "=")[0] for q in asked}
    admitted = [d for d in found if d.is_admitted]
    assert len(admitted) > 30 and all(d.text == first[d.question_id] for d in admitted)
    assert any((d.refusal or "").startswith("truncated") for d in found)


def test_the_dataset_goes_before_and_gives_whole_solutions(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], student: Student, verifier: Verifier
) -> None:
    config = QuestionsConfig(format="arithmetic", answer_form="equals", families={"mul2": 1}, count=1)
    dataset = DatasetTeacher(config, verifier=verifier, student=student, max_tokens=48)
    server = serve()
    queue, _ = open_queue(api_config(server.url), before=(dataset,), interventions=STEPS)
    queue.ask(questions[:3], {q.id: "1=2" for q in questions[:3]})
    queue.wait(60)
    found, _ = queue.pick_up()
    assert {(d.kind, d.source) for d in found} == {(DemonstrationKind.SOLUTION, "dataset")} and not server.bodies
