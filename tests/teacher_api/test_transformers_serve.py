"""A teacher behind a server that nobody here wrote: `transformers serve`, with a model that knows the families.

RELIFT_TEACHER_MODEL names the folder of a trained model (a run's `model/`); without it the committed base teaches
what it masters.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relift.arithmetic import FAMILIES, Kind, arithmetic_questions, base_folder
from relift.ledger import Ledger, query
from relift.teacher.client import ApiClient
from relift.teacher.prompt import requests_for
from relift.teacher.queue import TeacherQueue
from tests.flows.conftest import command
from tests.small_run import small_arguments
from tests.teacher.conftest import api_config, open_queue, student
from tests.teacher_api.conftest import SERVE, transformers_serve

__all__ = ["open_queue", "student"]
TRAINED = os.environ.get("RELIFT_TEACHER_MODEL")
OpenQueue = Callable[..., tuple[TeacherQueue, Ledger]]
# The library's own guess for this kind of model expects another chat template, and would repeat the prompt.
TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "?",
    "fields": {"content": {"close": "<eos>", "content": "text"}},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(URL, the model's name there)."""
    if not (SERVE / "openai").is_dir():
        pytest.skip(f"transformers serve needs tests/teacher_api/requirements.txt in {SERVE}: run `make test-teacher`")
    folder = tmp_path_factory.mktemp("serve")
    model = folder / "model"
    shutil.copytree(TRAINED or base_folder(), model)
    for name, change in {
        "tokenizer_config.json": {"response_template": TEMPLATE},
        "generation_config.json": {"do_sample": True},
    }.items():
        tree = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps({**tree, **change}))
    with transformers_serve(model, folder) as url:
        yield url, str(model)


def keyless(served: tuple[str, str], **more: object) -> dict[str, object]:
    return {"model": served[1], "key_variable": None, "timeout_seconds": 60.0, **more}


def test_it_is_found_to_be_there_although_its_list_of_models_does_not_name_the_model(served: tuple[str, str]) -> None:
    client = ApiClient(api_config(served[0], **keyless(served)))
    question = arithmetic_questions({"add2": 1.0}, 1, seed=11)[0]
    assert client.check(requests_for(question, client.config, form="equals", max_tokens=48)[0]) is None


def test_what_it_knows_is_admitted_and_only_that(served: tuple[str, str], open_queue: OpenQueue) -> None:
    names = [f.name for f in FAMILIES.values() if f.kind is Kind.MASTERED or (TRAINED and f.kind is not None)]
    questions = arithmetic_questions(dict.fromkeys(names, 1.0), 40, seed=11)
    queue, ledger = open_queue(api_config(served[0], **keyless(served, candidates=2)))
    queue.ask(questions)
    queue.wait(300)
    found, owed = queue.pick_up()
    assert owed == []
    answer = {q.id: q.answer for q in questions}
    admitted = [d for d in found if d.is_admitted]
    assert all(d.text.rpartition("=")[2] == answer[d.question_id] for d in admitted)
    assert len(admitted) >= 0.6 * len(questions)
    assert all(d.text.rpartition("=")[2] != answer[d.question_id] for d in found if "wrong" in (d.refusal or ""))
    assert ledger.requests.totals().answered == 80
    print(f"{len(admitted)} of {len(questions)} questions solved by {TRAINED or 'the committed base'}")


def test_a_run_is_taught_by_it(served: tuple[str, str], tmp_path: Path, prefect_api: str) -> None:
    url, model = served
    settings = [
        'teacher.sources=["api"]',
        f"teacher.api.model={model}",
        f"teacher.api.base_url={url}",
        "teacher.api.key_variable=off",
        'teacher.api.instruction=""',
        "teacher.api.candidates=2",
        "teacher.wait_seconds=60",
        # Questions that the student fails now and then, so that a teacher of its own size can help.
        "rollout.samples=2",
    ]
    code, output = command(small_arguments(tmp_path / "runs", *settings), tmp_path, prefect_api).finish(timeout=400)
    assert code == 0, output
    solved, asked = query(
        tmp_path / "runs",
        "SELECT count(DISTINCT question_id) FILTER (refusal IS NULL), count(DISTINCT question_id) FROM demonstrations",
    ).rows[0]
    assert solved > 0
    print(f"a run: {solved} of {asked} hard questions solved")
    (failed,) = query(tmp_path / "runs", "SELECT count(*) FROM teacher_requests WHERE answer IS NULL").rows[0]
    assert failed <= 8  # at most those under way when the run ended
