"""`relift train` and `relift harvest` with an API teacher: killed, lied to, left alone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

from relift.ledger import Ledger, query
from relift.opening.run import open_run
from tests.flows.conftest import Command, command
from tests.phases.conftest import drive
from tests.small_run import small_arguments, small_config
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import FAULTY, KEY, FaultyServer, Script

Serve = Callable[[Script], FaultyServer]
CONCURRENCY = 4


def settings(url: str, *more: str) -> list[str]:
    return api_settings(url, "teacher.wait_seconds=30", f"teacher.api.concurrency={CONCURRENCY}", *more)


def train(folder: Path, server: str | None, *more: str) -> Command:
    return command(small_arguments(folder / "runs", *more), folder, server)


def answered_in(root: Path) -> set[str]:
    """Keys of the requests whose answer the run has recorded."""
    with Ledger.open(root / "ledger.duckdb", "small") as ledger:
        return {key for (key,) in ledger.execute("SELECT request_key FROM teacher_requests WHERE answer IS NOT NULL")}


def test_a_run_killed_again_and_again_pays_for_no_answer_twice_and_learns_nothing_wrong(
    tmp_path: Path, prefect_api: str, serve: Serve
) -> None:
    server = serve(FAULTY)
    root = tmp_path / "runs" / "small"
    in_flight = 0
    for number in range(2):
        run = train(tmp_path, prefect_api, *settings(server.url))
        before = sum(server.answered.values())
        # In the middle of sourcing, at another point each time.
        run.wait_for(lambda seen=before + 3 + 2 * number: sum(server.answered.values()) >= seen)
        time.sleep(0.03 * number)
        run.signal_group(signal.SIGKILL)
        run.process.communicate()
        time.sleep(0.3)
        in_flight += len(set(server.answered) - answered_in(root))
    recorded = answered_in(root)
    counts = dict(server.answered)
    code, output = train(tmp_path, prefect_api, *settings(server.url)).finish()
    assert code == 0, output

    assert {key: server.answered[key] for key in recorded} == {key: counts[key] for key in recorded}
    # What was answered into a process that was dying is all that can have been asked again.
    paid_twice = sum(server.answered.values()) - len(server.answered)
    assert paid_twice <= in_flight <= 2 * CONCURRENCY
    print(f"answered {len(server.answered)}, in flight at 2 kills {in_flight}, paid twice {paid_twice}")

    admitted = query(
        tmp_path / "runs",
        "SELECT q.text, d.text FROM demonstrations d JOIN questions q USING (question_id) WHERE refusal IS NULL",
    ).rows
    assert admitted
    assert all(server.solutions[question] == solution for question, solution in admitted)
    refused = query(tmp_path / "runs", "SELECT count(*) FROM demonstrations WHERE refusal LIKE 'wrong%'").rows
    assert refused[0][0] > 0
    summary = json.loads((root / "summary.json").read_text())
    assert summary["demonstrations_used"] > 0
    assert summary["teacher"].startswith("scripted was asked")


def test_with_the_teacher_down_all_the_time_the_command_completes_and_says_so(tmp_path: Path, prefect_api: str) -> None:
    url = "http://127.0.0.1:9/v1"
    code, output = train(tmp_path, prefect_api, *api_settings(url, "teacher.api.required=false")).finish()
    assert code == 0, output
    assert "does not answer: connection failed" in output
    assert "the teacher is down: " in output
    assert "no demonstration was taught, so this run was plain GRPO: the teacher is down" in " ".join(output.split())
    summary = json.loads((tmp_path / "runs" / "small" / "summary.json").read_text())
    assert summary["demonstrations_used"] == 0

    with open_run(small_config(tmp_path / "grpo", "sft=off"), "small") as grpo:
        assert drive(grpo, 8)[-1].checksum == summary["weights_sha256"]


def test_a_teacher_that_dies_in_the_middle_does_not_stop_the_run(
    tmp_path: Path, prefect_api: str, serve: Serve
) -> None:
    server = serve(Script())
    run = train(tmp_path, prefect_api, *api_settings(server.url))
    run.wait_for(lambda: sum(server.answered.values()) >= 8)
    server.script = Script(slow=1.0)
    code, output = run.finish()
    assert code == 0, output


def test_a_wrong_key_and_a_teacher_that_is_not_there_are_one_message_each(
    tmp_path: Path, prefect_api: str, serve: Serve
) -> None:
    server = serve(Script())
    for more, message in (
        (["teacher.api.key_variable=HOME"], "refused the key from HOME"),
        (["teacher.api.base_url=http://127.0.0.1:9/v1"], "does not answer: connection failed"),
    ):
        code, output = train(tmp_path, prefect_api, *api_settings(server.url, *more)).finish()
        assert code == 2
        assert message in output
        assert "Traceback" not in output
        assert not (tmp_path / "runs" / "small").exists()


def test_the_key_is_in_no_file_of_a_run_and_its_own_prefect_server(tmp_path: Path, serve: Serve) -> None:
    """With Prefect's database in the project's folder, so that it is searched too; one iteration is enough."""
    server = serve(FAULTY)
    code, output = train(tmp_path, None, *settings(server.url), "iterations=2").finish()
    assert code == 0, output
    code, said = command(
        ["harvest", str(tmp_path / "runs" / "small"), "--set", "teacher.api.attempts=9"], tmp_path
    ).finish()
    assert code == 0, said
    assert KEY not in output + said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" and path.is_relative_to(tmp_path / ".prefect") for path in files)
    assert any(path.name.startswith("harvest-") or "harvest-demo-0" in path.parts for path in files)
    holding = [str(path) for path in files if KEY.encode() in path.read_bytes()]
    assert holding == []


def test_a_harvest_is_a_command_and_finds_what_training_left_open(
    tmp_path: Path, prefect_api: str, serve: Serve
) -> None:
    down = api_settings("http://127.0.0.1:9/v1", "teacher.api.required=false", "iterations=3")
    code, output = train(tmp_path, prefect_api, *down).finish()
    assert code == 0, output
    server = serve(FAULTY)
    arguments = ["harvest", str(tmp_path / "runs" / "small"), "--set", f"teacher.api.base_url={server.url}"]
    code, output = command(arguments, tmp_path, prefect_api).finish()
    assert code == 0, output
    assert "open questions solved" in output
    solved = query(
        tmp_path / "runs",
        "SELECT count(DISTINCT question_id) FROM demonstrations WHERE refusal IS NULL AND run = 'harvest-demo-0'",
    ).rows[0][0]
    assert solved > 0
    assert f"harvest-demo-0: {solved} of" in output
