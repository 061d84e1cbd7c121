"""Answers of teachers, and harvests, in a bucket: they cross machines as they cross runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relift.arithmetic import arithmetic_questions
from relift.config import RunConfig
from relift.ledger import Ledger
from relift.opening.harvest import open_harvest
from relift.opening.run import open_run
from relift.records import PolicyVersion
from relift.run.harvest import HarvestReport
from tests.flows.conftest import Command
from tests.phases.conftest import drive
from tests.s3 import server as s3_server
from tests.small_run import SETTINGS, small_config
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import KEY, PROMPT_TOKENS, FaultyServer, Script, serving

pytestmark = pytest.mark.s3
CONCURRENCY = 2


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def teacher() -> Iterator[FaultyServer]:
    """Knows the solutions of the small run's questions."""
    questions = small_config(Path("unused")).questions
    known = arithmetic_questions(questions.families, questions.count or 0, seed=0)
    with serving(FaultyServer({q.text: q.solution or "" for q in known})) as server:
        yield server


def in_bucket(prefix: str, scratch: Path, url: str, *more: str) -> RunConfig:
    return small_config(prefix, *api_settings(url, *more, f"scratch={scratch}"))  # type: ignore[arg-type]


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


def untaught(prefix: str, scratch: Path) -> None:
    """A run whose teacher was down, so that its hard questions are open."""
    trained(in_bucket(prefix, scratch, "http://127.0.0.1:9/v1", "teacher.api.required=false"), "untaught")


def test_what_one_machine_harvested_into_a_bucket_teaches_a_run_on_another(
    prefix: str, tmp_path: Path, teacher: FaultyServer
) -> None:
    untaught(prefix, tmp_path / "one")
    first = harvested(in_bucket(prefix, tmp_path / "two", teacher.url), "harvest")
    sent = len(teacher.seen)
    assert first.solved == first.open == sent > 0
    for machine in ("two", "three"):  # the one it ran on before, and another one
        again = harvested(in_bucket(prefix, tmp_path / machine, teacher.url), "harvest")
        assert (again.open, again.answered) == (0, first.answered)
    assert len(teacher.seen) == sent

    down = ("teacher.api.required=false", "teacher.wait_seconds=60")
    patient = in_bucket(prefix, tmp_path / "four", "http://127.0.0.1:9/v1", *down)
    assert trained(patient, "taught").number > 2


@pytest.mark.flow
@pytest.mark.parametrize("where", ["in its folder", "elsewhere"])
def test_a_harvest_that_was_killed_goes_on_and_forgets_no_money(
    prefix: str, tmp_path: Path, teacher: FaultyServer, prefect_api: str, where: str
) -> None:
    untaught(prefix, tmp_path / "one")
    teacher.script = Script(delay_seconds=0.2)
    settings = api_settings(
        teacher.url,
        f"teacher.api.concurrency={CONCURRENCY}",
        "teacher.api.timeout_seconds=5",
        "teacher.api.usd_per_million_input=1",
        "teacher.api.usd_per_million_output=1000",
        "teacher.api.budget_usd=100",
        f"store={prefix}",
    )
    arguments = ["harvest", "demo", "--name", "harvest"]
    arguments += [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    (tmp_path / "two").mkdir()
    killed = Command(arguments, tmp_path / "two", prefect_api).start()
    killed.wait_for(lambda: sum(teacher.answered.values()) >= 5)
    killed.signal_group(signal.SIGKILL)
    killed.process.communicate()
    before = set(teacher.answered)

    folder = tmp_path / ("two" if where == "in its folder" else "three")
    folder.mkdir(exist_ok=True)
    code, output = Command(arguments, folder, prefect_api).start().finish()
    assert code == 0, output
    assert len(before) < len(teacher.answered), "the harvest was over when it was killed, so the test shows nothing"
    paid_twice = sum(teacher.answered.values()) - len(teacher.answered)
    assert paid_twice <= CONCURRENCY  # what was answered into the process that was dying
    with Ledger.open(folder / "runs" / "harvest" / "ledger.duckdb", "harvest") as ledger:
        totals = ledger.requests.totals()
        asked = ledger.execute(
            "SELECT question_id, answer, latency_seconds FROM teacher_requests WHERE question_id <> ''"
        )
    assert totals.bought == totals.answered == len(asked) == len(teacher.answered)
    opening = 2 * (PROMPT_TOKENS + 1000)  # a token of answer to the question at each start
    price = (opening + sum(PROMPT_TOKENS + 1000 * len(answer) for _, answer, _ in asked)) / 1e6
    assert totals.cost_usd == pytest.approx(price)
    if where == "in its folder":  # its ledger was kept: nothing had to be found among the project's answers
        assert all(latency > 0 for _, _, latency in asked)


def test_no_secret_is_in_any_object_of_the_bucket(prefix: str, s3: Any, tmp_path: Path, teacher: FaultyServer) -> None:
    untaught(prefix, tmp_path / "one")
    assert harvested(in_bucket(prefix, tmp_path / "one", teacher.url), "harvest").solved > 0
    trained(in_bucket(prefix, tmp_path / "one", teacher.url, "teacher.wait_seconds=60"), "taught")
    below = prefix.removeprefix(f"s3://{s3_server.BUCKET}/") + "/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=s3_server.BUCKET, Prefix=below)
    objects = [entry["Key"] for page in pages for entry in page["Contents"]]
    kinds = {name.removeprefix(below).partition("/")[0] for name in objects}
    assert kinds == {"untaught", "harvest", "taught", ".teacher"}
    for name in objects:
        found = s3.get_object(Bucket=s3_server.BUCKET, Key=name)
        content = found["Body"].read() + repr((name, found["Metadata"])).encode()
        for secret in (KEY, s3_server.SECRET):
            assert secret.encode() not in content, name
