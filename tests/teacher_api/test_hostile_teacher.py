"""`relift train` with a teacher that does everything but answer: the run ends as if nothing had come from it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relift.ledger import query
from tests.flows.conftest import Command, command
from tests.small_run import small_arguments
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import KEY
from tests.teacher.hostile_server import ANSWERED, FAULTS, HostileServer, hostile

ATTEMPTS, BUDGET_USD, MOST_EXTRA_BYTES = 2, 0.5, 256 << 20
SETTINGS = (
    "teacher.api.required=false",
    "teacher.api.candidates=4",
    f"teacher.api.attempts={ATTEMPTS}",
    f"teacher.api.budget_usd={BUDGET_USD}",
    "teacher.api.usd_per_million_input=1",
    "teacher.api.usd_per_million_output=10",
    "teacher.wait_seconds=60",
)


@dataclass(frozen=True)
class Ended:
    """A run of the command, at its end."""

    summary: dict[str, Any]
    output: str
    runs: Path
    peak_bytes: int
    """Of the memory of the process that trains and speaks to the teacher."""


def trained(folder: Path, prefect_api: str, url: str, *more: str) -> Ended:
    settings = small_arguments(folder / "runs", *api_settings(url, *SETTINGS, *more))
    with (folder / "output.txt").open("wb") as output:
        run = Command(settings, folder, prefect_api).start(output.fileno())
        peak = 0
        while run.process.poll() is None:
            peak = max(peak, peak_bytes(run.process.pid))
            time.sleep(0.05)
    said = (folder / "output.txt").read_text()
    assert run.process.returncode == 0, said
    summary = json.loads((folder / "runs" / "small" / "summary.json").read_text())
    return Ended(summary, said, folder / "runs", peak)


def peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Ended:
    """The run whose teacher never says a word."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OPENAI_API_KEY", KEY)
        return trained(tmp_path_factory.mktemp("silent"), prefect_api, "http://127.0.0.1:9/v1")


def in_turn(together: int) -> list[str]:
    """Every fault, with an answer that can be read between so many, as else a teacher is taken to be down and rests."""
    faults = [name for name in FAULTS if name not in ANSWERED]
    answered = sorted(ANSWERED)
    order = []
    for index, name in enumerate(faults):
        order.append(name)
        if index % together == together - 1:
            order.append(answered[len(order) % len(answered)])
    return [*order, *answered]


def require_as_if_nothing_had_come(server: HostileServer, ended: Ended, silent: Ended) -> None:
    assert set(server.met) == set(FAULTS), "not every fault was met"
    assert ended.summary["weights_sha256"] == silent.summary["weights_sha256"]
    assert ended.summary["demonstrations_used"] == 0
    assert "Traceback" not in ended.output and KEY not in ended.output
    assert (server.followed, server.checks, server.cookies) == (0, 1, 0)

    of_attempts = rows(ended.runs, "SELECT request_key, attempts FROM teacher_requests WHERE question_id <> ''")
    assert sum(server.asked.values()) <= sum(attempts for _, attempts in of_attempts)
    ((refused, admitted),) = rows(ended.runs, "SELECT count(refusal), count(*) - count(refusal) FROM demonstrations")
    assert (refused > 0, admitted) == (True, 0)
    ((unexplained,),) = rows(
        ended.runs, "SELECT count(*) FROM teacher_requests WHERE answer IS NULL AND failure IS NULL"
    )
    assert unexplained <= 8  # under way when the run ended
    ((least, spent, tokens),) = rows(
        ended.runs,
        "SELECT min(least(coalesce(cost_usd, 0), unanswered_usd, input_tokens, output_tokens)), "
        "sum(coalesce(cost_usd, 0) + unanswered_usd), max(greatest(input_tokens, output_tokens)) FROM teacher_requests",
    )
    assert least >= 0
    assert 0 < spent <= BUDGET_USD
    assert tokens < 1000
    extra = ended.peak_bytes - silent.peak_bytes
    print(f"{sum(server.asked.values())} requests, {spent:.4f} USD, {extra / 2**20:.0f} MiB more than in silence")
    assert extra <= MOST_EXTRA_BYTES


def rows(runs: Path, sql: str) -> Sequence[tuple[Any, ...]]:
    return query(runs, sql).rows


@pytest.mark.parametrize("concurrency", [1, 16], ids=["in-turn", "at-once"])
def test_a_run_before_a_teacher_with_every_fault_ends_as_if_nothing_had_come(
    tmp_path: Path, prefect_api: str, silent: Ended, concurrency: int
) -> None:
    with hostile(in_turn(together=2 if concurrency == 1 else 6)) as server:
        ended = trained(tmp_path, prefect_api, server.url, f"teacher.api.concurrency={concurrency}")
        require_as_if_nothing_had_come(server, ended, silent)
    code, said = command(["ledger", "check", str(tmp_path / "runs" / "small")], tmp_path, prefect_api).finish()
    assert code == 0, said
