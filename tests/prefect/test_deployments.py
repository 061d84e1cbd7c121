"""Runs from deployments: by a person, by a schedule, by Retry; on a real server with real workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.server.protection import CLIENT_KEY
from tests.flows.conftest import RELIFT
from tests.prefect.serving import ENDED, Refused, Served, Tree, is_alive, wait_for, weights
from tests.small_run import small_config

PREFECT = RELIFT.with_name("prefect")
# Prefect's worker reports a killed process twice: a retry before its second report is overwritten by it.
BEFORE_RETRY_SECONDS = 10.0


def tree_of(*settings: str) -> Tree:
    """The small run as the UI sends it; the store stays relative, as in the shipped deployment."""
    tree: Tree = small_config(Path("runs"), "iterations=6", *settings).model_dump(mode="json")
    return tree


@pytest.fixture(scope="module")
def runs(served: Served) -> tuple[str, str]:
    """Two train runs of one configuration, undisturbed: from the UI without a name, and ad hoc as "adhoc"."""
    from_ui = served.api.start("train", tree_of())
    parameters = ["--param", f"config={json.dumps(tree_of())}", "--param", 'name="adhoc"']
    environment = os.environ | {"PREFECT_API_URL": served.api.url, CLIENT_KEY: served.api.key}
    environment["PREFECT_HOME"] = str(served.folder / "home")
    command = [str(PREFECT), "deployment", "run", "train/train", *parameters]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=90)
    ad_hoc = re.search(r"UUID: (\S+)", told.stdout)
    assert ad_hoc, told.stdout
    for run in (from_ui, ad_hoc[1]):
        assert served.api.wait(run)["type"] == "COMPLETED", served.api.tell(run)
    return from_ui, ad_hoc[1]


@pytest.fixture(scope="module")
def from_ui(runs: tuple[str, str]) -> str:
    """Id of the run from the UI, which is its name."""
    return runs[0]


def test_prefect_yaml_deploys_the_three_flows_with_their_pools_queues_and_schedules(served: Served) -> None:
    found = {name: served.api.deployment(name) for name in ("train", "harvest", "evaluate")}
    where = {name: (d["work_pool_name"], d["work_queue_name"], d["entrypoint"]) for name, d in found.items()}
    assert where == {
        "train": ("gpu", "default", "flows.train.train"),
        "harvest": ("cpu", "scheduled", "flows.harvest.harvest"),
        "evaluate": ("gpu", "scheduled", "flows.evaluate.evaluate"),
    }
    crons = {name: [s["schedule"]["cron"] for s in d["schedules"]] for name, d in found.items()}
    assert crons == {"train": [], "harvest": ["0 3 * * *"], "evaluate": ["0 5 * * 0"]}
    limits = {name: (d["global_concurrency_limit"] or {}).get("limit") for name, d in found.items()}
    assert limits == {"train": None, "harvest": 1, "evaluate": 1}
    assert found["train"]["parameters"]["config"]["policy"]["model"] == "arithmetic"
    assert "/" not in json.dumps(found["train"]["job_variables"]), "no path of this machine in the server"
    heartbeats = {d["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] for d in found.values()}
    assert heartbeats == {"30"}


def test_the_form_says_what_every_setting_is_its_range_and_its_choices(served: Served) -> None:
    asked = {"train": {"config", "name"}, "evaluate": {"config", "name"}, "harvest": {"config", "name", "limit"}}
    for name, parameters in asked.items():
        schema = served.api.deployment(name)["parameter_openapi_schema"]
        definitions = schema["definitions"]
        assert {key for key, field in schema["properties"].items() if field.get("description")} == parameters, name
        for section, tree in definitions.items():
            for key, field in tree.get("properties", {}).items():
                assert "description" in field or "$ref" in field, f"{section}.{key}"
                if "$ref" in field:
                    assert definitions[field["$ref"].rpartition("/")[2]]["description"], f"{section}.{key}"
    limit = served.api.deployment("harvest")["parameter_openapi_schema"]["properties"]["limit"]
    assert limit["description"].endswith("At least 1, at most 100000.")
    assert (limit["minimum"], limit["maximum"]) == (1, 100_000)
    rollout = definitions["RolloutConfig"]["properties"]
    assert rollout["samples"]["minimum"] == 2
    assert rollout["samples"]["description"].endswith("At least 2.")
    assert rollout["engine"]["anyOf"][0]["enum"] == ["transformers", "vllm"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("samples", 1, "config.rollout.samples"), ("temperatur", 1.0, "temperatur"), ("engine", "gpt", "rollout.engine")],
)
def test_a_bad_parameter_is_refused_with_its_name_before_any_worker_starts(
    served: Served, key: str, value: object, said: str
) -> None:
    tree = tree_of()
    tree["rollout"][key] = value
    with pytest.raises(Refused) as refused:
        served.api.start("train", tree)
    assert refused.value.status == 409
    assert said in refused.value.text


def test_a_run_from_the_form_lies_in_the_project_under_the_flow_runs_id(served: Served, from_ui: str) -> None:
    summary = json.loads((served.folder / "runs" / from_ui / "summary.json").read_text())
    assert summary["run"] == from_ui
    assert summary["iterations"] == 6


def test_the_page_of_a_run_shows_progress_a_row_per_iteration_a_summary_and_links(served: Served, from_ui: str) -> None:
    artifacts = {a["key"].removesuffix(f"-{from_ui}"): a for a in served.api.artifacts(from_ui)}
    assert set(artifacts) == {"progress", "iterations", "summary", "report", "model"}
    assert artifacts["progress"]["data"] == 100
    rows = json.loads(artifacts["iterations"]["data"])
    assert [row["iteration"] for row in rows] == list(range(5, -1, -1))
    root = (served.folder / "runs" / from_ui).resolve()
    summary = artifacts["summary"]["data"]
    assert weights(served.folder, from_ui)[:16] in summary
    assert f"{root}/report/index.html" in summary
    assert "relift hard" in summary and "mul2" in summary
    assert len(summary) < 10_000
    assert (root / "report" / "index.html").as_uri() in artifacts["report"]["data"]
    assert "iteration 6/6: accuracy" in served.api.logs(from_ui)


def test_an_ad_hoc_run_from_the_command_line_ends_with_the_same_weights(served: Served, runs: tuple[str, str]) -> None:
    from_ui, ad_hoc = runs
    assert served.api.run(ad_hoc)["name"] == "adhoc"
    assert weights(served.folder, "adhoc") == weights(served.folder, from_ui)


def test_a_second_scheduled_run_is_cancelled_while_one_runs(served: Served) -> None:
    deployment = served.api.deployment("evaluate")["id"]
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    schedule = {
        "schedule": {"interval": 3, "anchor_date": begin.isoformat()},
        "active": True,
        "parameters": {"config": tree_of("evaluation.questions=17")},
    }
    [made] = served.api.call("POST", f"/deployments/{deployment}/schedules", [schedule])
    asked = {"flow_runs": {"deployment_id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}

    def first_two() -> list[Tree]:
        runs = served.api.call("POST", "/flow_runs/filter", asked)
        return [r for r in runs if r["parameters"]["config"]["evaluation"]["questions"] == 17][:2]

    def ended() -> list[Tree]:
        runs = first_two()
        return runs if len(runs) == 2 and all(r["state"]["type"] in ENDED for r in runs) else []

    try:
        first, second = wait_for(ended, 150, lambda: str([(r["name"], r["state"]) for r in first_two()]))
    finally:
        served.api.call("DELETE", f"/deployments/{deployment}/schedules/{made['id']}")
    if second["state"]["type"] == "COMPLETED":  # the worker takes up together what is due within seconds
        first, second = second, first
    assert (first["state"]["type"], second["state"]["type"]) == ("COMPLETED", "CANCELLED")
    at = datetime.fromisoformat(first["expected_start_time"])
    seconds = f"{at:%S}" if at.second else ""
    assert first["name"] == f"evaluate-{at:%Y-%m-%d-%H%M}{seconds}"
    root = served.folder / "runs" / first["name"]
    assert (root / "hard_examples.duckdb").exists()
    artifacts = {a["key"].removesuffix(f"-{first['name']}"): a for a in served.api.artifacts(first["id"])}
    assert set(artifacts) == {"progress", "evaluation", "summary", "report", "ledger"}
    assert artifacts["progress"]["data"] == 100
    assert "arithmetic/mul2" in artifacts["summary"]["data"]
    assert (root / "report" / "index.html").resolve().as_uri() in artifacts["report"]["data"]
    assert not list((served.folder / "runs").glob(f"*{second['id']}*"))


def test_the_page_of_a_harvest_shows_progress_a_summary_and_where_its_ledger_lies(served: Served, from_ui: str) -> None:
    run = served.api.start("harvest", tree_of(), "found")
    assert served.api.wait(run)["type"] == "COMPLETED", served.api.tell(run)
    artifacts = {a["key"].removesuffix("-found"): a for a in served.api.artifacts(run)}
    assert set(artifacts) == {"progress", "summary", "ledger"}
    assert artifacts["summary"]["data"].startswith("found: ")
    ledger = served.folder / "runs" / "found" / "hard_examples.duckdb"
    assert ledger.exists() and ledger.resolve().as_uri() in artifacts["ledger"]["data"]


def test_a_killed_flow_is_resumed_by_retry_to_the_same_weights(served: Served, from_ui: str) -> None:
    run = served.api.start("train", tree_of())
    root = served.folder / "runs" / run
    wait_for((root / "iterations" / "00004" / "rollout" / "manifest.json").exists, 60, lambda: served.api.tell(run))
    os.kill(served.flow_process(run), signal.SIGKILL)
    assert served.api.wait(run)["type"] == "CRASHED"
    first = sorted(path.name for path in (root / "checkpoints").iterdir())
    time.sleep(BEFORE_RETRY_SECONDS)
    served.api.retry(run)
    assert served.api.wait(run, "RUNNING", "FAILED")["type"] == "RUNNING", served.api.tell(run)
    assert served.api.wait(run)["type"] == "COMPLETED", served.api.tell(run)
    assert first, "it was killed after a checkpoint"
    assert "from iteration 4 of 6" in served.api.logs(run)
    assert weights(served.folder, run) == weights(served.folder, from_ui)


def test_retry_is_refused_while_the_orphan_of_a_killed_worker_still_writes_the_run(served: Served) -> None:
    run = served.api.start("train", tree_of())
    root = served.folder / "runs" / run
    wait_for((root / "iterations" / "00001" / "rollout" / "manifest.json").exists, 60, lambda: served.api.tell(run))
    orphan = served.flow_process(run)
    [worker] = served.processes("--pool gpu")
    os.kill(worker, signal.SIGKILL)
    os.kill(orphan, signal.SIGSTOP)  # alive and holding the run's lock for as long as this test wants it
    # As the watch over heartbeats does after some minutes, or a person at once.
    crashed = {"state": {"type": "CRASHED", "name": "Crashed", "message": "its worker is gone"}, "force": True}
    served.api.call("POST", f"/flow_runs/{run}/set_state", crashed)
    served.api.retry(run)  # `relift serve` has started another worker meanwhile
    state = served.api.wait(run, "FAILED")
    assert f'"pid": {orphan}' in state["message"]
    assert "being written by another process" in state["message"]
    assert is_alive(orphan)
    assert "Traceback" not in served.api.logs(run)

    os.kill(orphan, signal.SIGCONT)
    wait_for(lambda: not is_alive(orphan), 90)
    time.sleep(1)
    if served.api.run(run)["state"]["type"] != "COMPLETED":  # what the orphan reports may not count any more
        served.api.retry(run)
        assert served.api.wait(run, "COMPLETED", "CRASHED")["type"] == "COMPLETED", served.api.tell(run)
    assert json.loads((root / "summary.json").read_text())["iterations"] == 6


def test_a_relative_store_is_refused_where_the_worker_does_not_know_the_project(served: Served) -> None:
    deployment = served.api.deployment("train")["id"]
    body = {
        "parameters": {"config": tree_of()},
        "state": {"type": "SCHEDULED"},
        "job_variables": {"env": {"RELIFT_HOME": ""}},
    }
    run = served.api.call("POST", f"/deployments/{deployment}/create_flow_run", body)["id"]
    state = served.api.wait(run)
    assert state["type"] == "FAILED"
    assert "store='runs' is relative" in state["message"] and "RELIFT_HOME" in state["message"]
