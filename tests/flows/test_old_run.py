"""What can be done with a finished run of relift 0.1.0 by a later one: all but, perhaps, going on with it.

By commands and SQL alone, so that these tests say the same of every later tree. data/runs-0.1.0/README.md says how the
run was made.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.flows.conftest import command
from tests.teacher.faulty_server import KEY, FaultyServer, serving

pytestmark = pytest.mark.flow
RUNS = Path(__file__).parent.parent / "data" / "runs-0.1.0"
STATES = {"control": 9, "no_teacher_solves_it": 9, "queued": 5, "taught": 8}
LATER = "SELECT 1 FROM duckdb_columns() WHERE table_name = 'updates' AND column_name = 'metrics'"
TABLES = ("groups", "attempts", "demonstrations", "updates", "uses", "evaluations", "iterations")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that holds the run as runs/small, and the model that it was trained from."""
    with tarfile.open(RUNS / "small.tar.xz") as archive:
        archive.extractall(tmp_path / "project", filter="data")
    return tmp_path / "project"


@pytest.fixture
def teacher(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """The run's teacher, where it was when the run was made; it is right about what was open then."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    golds = dict(rows(project, "SELECT text, answer FROM questions"))
    with serving(FaultyServer(golds)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


def relift(folder: Path, *arguments: str, server: str | None = None) -> str:
    """What the command prints; it has to end well."""
    code, output = command(list(arguments), folder, server).finish()
    assert code == 0, output
    return output


def rows(project: Path, sql: str, *, name: str = "hard_examples.duckdb", run: str = "small") -> list[tuple[Any, ...]]:
    with duckdb.connect(str(project / "runs" / run / name), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def recorded(project: Path, name: str, *, since: int = 0) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of what the run did from an iteration on, by table; columns that came later are left out."""
    later = (
        {
            "updates": "EXCLUDE (metrics)",
            "uses": "EXCLUDE (kind, prefix_tokens)",
            "iterations": "EXCLUDE (rounds, lacking)",
            "demonstrations": "EXCLUDE (kind)",
        }
        if rows(project, LATER, name=name)
        else {}
    )
    return {
        table: rows(
            project,
            f"SELECT * {later.get(table, '')} FROM {table} WHERE iteration >= {since} ORDER BY ALL",
            name=name,
        )
        for table in TABLES
    }


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_its_report_is_drawn_again_with_what_it_was_configured_by(project: Path) -> None:
    output = relift(project, "report", "runs/small")
    assert "leaves the configuration out" not in output
    page = (project / "runs" / "small" / "report" / "index.html").read_text()
    assert "mul1" in page
    assert re.search(r"control_share</code></td><td><code>0\.2</code>", page)


def test_its_questions_are_asked_shown_and_exported_and_solutions_are_imported_for_it(project: Path) -> None:
    output = relift(project, "sql", "SELECT state || '=' || count(*) AS n FROM hard_examples GROUP BY state")
    assert {f"{state}={count}" for state, count in STATES.items()} <= set(output.split())
    assert re.search(rf"small +taught +{STATES['taught']} ", relift(project, "hard", "states"))
    ((taught,),) = rows(project, "SELECT text FROM uses JOIN questions USING (question_id) LIMIT 1")
    assert "taught" in relift(project, "show", taught)

    assert "31 hard questions, 21 of them with 21 verified solutions" in relift(project, "ledger", "export", "dataset")
    assert (project / "dataset" / "README.md").read_text().count("equals")
    relift(project, "ledger", "export", "open.jsonl", "--format", "jsonl", "--state", "no_teacher_solves_it")
    wanted = [json.loads(line) for line in (project / "open.jsonl").read_text().splitlines()]
    assert len(wanted) == STATES["no_teacher_solves_it"]
    solved = [{**row, "solution": row["gold"]} for row in wanted]
    (project / "open.jsonl").write_text("".join(json.dumps(row) + "\n" for row in solved))
    assert "9 verified solutions" in relift(project, "ledger", "import", "open.jsonl", "--run", "small")


def test_another_project_attaches_it(project: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    output = relift(tmp_path / "other", "ledger", "attach", str(project / "runs"), "--as", "old")
    assert "attached as old: 1 run, old/small" in output
    found = relift(tmp_path / "other", "sql", "SELECT run || '=' || count(*) AS n FROM hard_examples GROUP BY run")
    assert f"old/small={sum(STATES.values())}" in found


def test_its_ledger_is_made_again_from_what_it_recorded(project: Path) -> None:
    before = recorded(project, "ledger.duckdb")
    assert all(before.values())
    assert "it was left as it is" in relift(project, "ledger", "rebuild", "runs/small")
    for name in ("ledger.duckdb", "hard_examples.duckdb"):
        (project / "runs" / "small" / name).rename(project / name)
    relift(project, "ledger", "rebuild", "runs/small")
    (project / "ledger.duckdb").rename(project / "runs" / "small" / "old.duckdb")
    made, old = (recorded(project, name, since=2) for name in ("ledger.duckdb", "old.duckdb"))
    assert made == old
    assert all(made.values())


@pytest.mark.slow
def test_the_model_that_it_trained_is_evaluated_to_what_the_run_found(project: Path, prefect_api: str) -> None:
    relift(project, "evaluate", "runs/small", server=prefect_api)
    measured = "SELECT benchmark, questions, k, avg_at_k, pass_at_k FROM evaluations WHERE iteration = "
    then = rows(project, f"{measured} 4 ORDER BY ALL")
    assert rows(project, f"{measured} 0 ORDER BY ALL", run="evaluate-small") == then
    assert then != rows(project, f"{measured} 0 ORDER BY ALL")


@pytest.mark.slow
def test_its_open_questions_are_harvested_and_its_own_answers_are_not_paid_again(
    project: Path, prefect_api: str, teacher: FaultyServer
) -> None:
    settings = ["--set", "teacher.api.rounds=2", "--name", "harvest"]
    output = relift(project, "harvest", "runs/small", *settings, server=prefect_api)
    assert "9 of 9 open questions solved" in output
    assert Counter(teacher.answered.values()) == {1: 9}, "the first round was answered when the run was made"
    assert rows(project, "SELECT count(*) FROM demonstrations WHERE refusal IS NULL", run="harvest") == [(9,)]


@pytest.mark.slow
def test_it_goes_on_from_what_it_recorded_or_is_refused_with_what_to_do(
    project: Path, prefect_api: str, teacher: FaultyServer
) -> None:
    before, files = recorded(project, "ledger.duckdb"), contents(project / "runs")
    code, output = command(["resume", "runs/small", "--set", "iterations=5"], project, prefect_api).finish()
    if code == 0:
        assert "is made again" not in output
        for table, known in recorded(project, "ledger.duckdb").items():
            assert set(map(repr, before[table])) <= set(map(repr, known)), table
        assert rows(project, "SELECT max(iteration) FROM updates") == [(4,)]
    else:
        assert code == 2 and "begun by relift 0.1.0" in output and "Go on with it by" in output, output
        assert contents(project / "runs") == files
