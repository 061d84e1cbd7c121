"""Answers of teachers, and harvests, in a bucket: they cross machines as they cross runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from relift.arithmetic import arithmetic_questions
from relift.config import RunConfig
from relift.harvest import HarvestReport, open_harvest
from relift.opening import open_run
from relift.records import PolicyVersion
from tests.phases.conftest import drive
from tests.small_run import small_config
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import KEY, FaultyServer, serving

pytestmark = pytest.mark.s3


def harvested(config: RunConfig, name: str) -> HarvestReport:
    with open_harvest(config, name) as harvest:
        harvest.ask(limit=1_000)
        while harvest.collect(10.0):
            pass
        report = harvest.report()
        harvest.complete()
        return report


def trained(config: RunConfig, name: str) -> PolicyVersion:
    with open_run(config, name) as run:
        version = drive(run, 2)[-1]
        run.complete()
        return version


def test_what_one_machine_harvested_into_a_bucket_teaches_a_run_on_another(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    down = api_settings("http://127.0.0.1:9/v1", "teacher.api.required=false", f"scratch={tmp_path / 'one'}")
    config = small_config(Path("unused"), *down).model_copy(update={"store": prefix})
    trained(config, "untaught")

    questions = config.questions
    known = arithmetic_questions(questions.families, questions.count or 0, seed=0)
    with serving(FaultyServer({q.text: q.solution or "" for q in known})) as server:
        elsewhere = small_config(Path("unused"), *api_settings(server.url, f"scratch={tmp_path / 'two'}"))
        elsewhere = elsewhere.model_copy(update={"store": prefix})
        first = harvested(elsewhere, "harvest")
        shutil.rmtree(tmp_path / "two")  # another machine again
        second = harvested(elsewhere, "harvest")
        sent = len(server.seen)
    assert first.solved == first.open == sent > 0
    assert (second.open, second.answered) == (0, first.answered)

    patient = small_config(Path("unused"), *down, "teacher.wait_seconds=60", f"scratch={tmp_path / 'three'}")
    assert trained(patient.model_copy(update={"store": prefix}), "taught").number > 2
