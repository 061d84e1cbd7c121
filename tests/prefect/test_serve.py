"""`relift serve`: one command, nothing made twice, nothing left behind, clear refusals."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import Command, command
from tests.prefect.serving import Api, Served, Tree, copy_project, free_port, serve, wait_for, weights
from tests.small_run import small_config


def counts(api: Api) -> dict[str, int]:
    everything = ("work_pools", "deployments", "automations", "v2/concurrency_limits")
    found = {what: len(api.call("POST", f"/{what}/filter", {})) for what in everything}
    found["queues"] = sum(len(api.call("POST", f"/work_pools/{pool}/queues/filter", {})) for pool in ("cpu", "gpu"))
    found["schedules"] = sum(len(d["schedules"]) for d in api.call("POST", "/deployments/filter", {}))
    found["workers"] = sum(len(api.call("POST", f"/work_pools/{pool}/workers/filter", {})) for pool in ("cpu", "gpu"))
    return found


@pytest.fixture
def serving() -> Iterator[Callable[[Path, int], Served]]:
    """Starts `relift serve`, and ends it where the test did not."""
    started: list[Served] = []

    def start(folder: Path, port: int) -> Served:
        started.append(serve(folder, port))
        return started[-1]

    yield start
    for served in started:
        served.stop()


def test_ctrl_c_ends_all_of_it_and_serving_again_makes_nothing_twice(
    serving: Callable[[Path, int], Served], tmp_path: Path
) -> None:
    from flows.server.deployments import SILENT_SECONDS

    tree: Tree = small_config(Path("runs"), "iterations=6").model_dump(mode="json")
    port = free_port()
    first = serving(tmp_path, port)
    before = counts(first.api)
    assert before["work_pools"] == 2 and before["deployments"] == 3 and before["queues"] == 4

    [watch] = first.api.call("POST", "/automations/filter", {})
    assert watch["trigger"]["within"] == SILENT_SECONDS
    hasty = {key: watch[key] for key in ("name", "description", "trigger", "actions")} | {"enabled": False}
    hasty["trigger"]["within"] = 120  # as an earlier version made it, switched off by a person
    first.api.call("PUT", f"/automations/{watch['id']}", hasty)

    code, output = command(["serve", "--port", str(free_port())], tmp_path).finish()
    assert code == 2 and f"runs in this folder already: http://127.0.0.1:{port}/api" in output

    run = first.api.start("train", tree, "small")
    manifest = tmp_path / "runs" / "small" / "iterations" / "00002" / "rollout" / "manifest.json"
    wait_for(manifest.exists, 60, lambda: first.api.tell(run))
    assert first.flow_process(run)
    pressed = time.monotonic()
    first.command.signal_group(signal.SIGINT)
    time.sleep(0.5)
    first.command.signal_group(signal.SIGHUP)  # and the terminal is closed
    first.stop()
    assert time.monotonic() - pressed < 30
    assert not first.command.living(), "server, workers, flow run: all are gone"
    assert "Traceback" not in (tmp_path / "serve.out").read_text()

    second = serving(tmp_path, port)
    assert counts(second.api) == before
    [watch] = second.api.call("POST", "/automations/filter", {})
    assert (watch["trigger"]["within"], watch["enabled"]) == (SILENT_SECONDS, False)
    state = second.api.run(run)["state"]
    assert state["type"] == "FAILED" and "run the same command again" in state["message"], state
    second.api.retry(run)
    assert second.api.wait(run, "COMPLETED", timeout=60)
    assert len(weights(tmp_path, "small")) == 64
    os.kill(second.command.process.pid, signal.SIGKILL)
    second.command.process.wait()
    wait_for(lambda: not second.command.living(), 30, lambda: str(second.command.living()))


def test_a_port_in_use_is_refused_with_what_listens_there(tmp_path: Path) -> None:
    copy_project(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, output = command(["serve", "--port", str(port)], tmp_path).finish()
    assert code == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in output and "--port" in output
    assert "Traceback" not in output


def test_a_server_that_does_not_answer_is_refused_with_how_to_start_one(tmp_path: Path) -> None:
    copy_project(tmp_path)
    url = f"http://127.0.0.1:{free_port()}/api"
    code, output = command(["serve"], tmp_path, url).finish()
    assert code == 2
    assert url in output and "relift serve" in output
    assert "Traceback" not in output


def test_a_folder_without_prefect_yaml_is_refused_before_anything_starts(tmp_path: Path) -> None:
    served = Command(["serve", "--port", str(free_port())], tmp_path).start()
    code, output = served.finish(timeout=60)
    assert code == 2 and "holds no prefect.yaml" in output
    assert not served.living()
