"""A small study run for real: two methods, two seeds, each a process of its own."""

from __future__ import annotations

import functools
import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from relift.ledger import query
from relift.study.results import RunResult, StudyResult
from tests.flows.conftest import command

pytestmark = [pytest.mark.flow, pytest.mark.slow]

STUDY = """
recipe = "demo"
seeds = [1, 2]
beside = 2
planned = [["relift", "grpo"]]
[budget]
rollouts = 320
[set]
questions = { count = 300, batch_size = 16 }
rollout = { samples = 4, max_tokens = 24 }
rl.questions_per_update = 8
teach.rule.batch_size = 4
sft = { minibatch = 2, epochs = 2, own_correct = 8 }
checkpoint.every = 3
[evaluation]
questions = 6
interim_questions = 3
every = 3
[methods.relift]
[methods.grpo]
sft = "off"
budget.demonstrations = "relift"
"""
KILLS = 5
WALL_CLOCK = ("date", "seconds")


def study_in(folder: Path) -> Path:
    (folder / "tiny.toml").write_text(STUDY)
    return folder


def has_begun(folder: Path, runs: int) -> bool:
    return len(list((folder / "runs").glob("*/ledger.duckdb"))) >= runs


def table(folder: Path) -> dict[str, Any]:
    """The study's file and those of its runs, without what is wall-clock."""
    files = sorted((folder / "docs" / "studies").rglob("*.json"))
    return {str(file.relative_to(folder)): _still(json.loads(file.read_text())) for file in files}


def _still(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _still(value) for key, value in tree.items() if key not in WALL_CLOCK}
    return tree


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study that nobody disturbs, with its runs kept; with a Prefect server of its own."""
    folder = study_in(tmp_path_factory.mktemp("whole"))
    code, output = command(["compare", "tiny.toml", "--keep"], folder).finish(timeout=300)
    assert code == 0, output
    assert "relift - grpo (planned)" in output
    return folder


def test_a_study_killed_at_five_moments_ends_with_the_same_table(whole: Path, tmp_path: Path, prefect_api: str) -> None:
    folder = study_in(tmp_path)
    moments = random.Random(7)
    for number in range(KILLS):
        run = command(["compare", "tiny.toml", "--keep"], folder, prefect_api)
        run.wait_for(functools.partial(has_begun, folder, number // 2 + 1), timeout=300)
        time.sleep(moments.uniform(0, 4))
        run.signal_group(signal.SIGKILL)
        run.process.communicate()
    code, output = command(["compare", "tiny.toml", "--keep"], folder, prefect_api).finish(timeout=300)
    assert code == 0, output
    assert table(folder) == table(whole)


def test_the_figures_are_those_of_a_recount_from_the_recorded_rollouts(whole: Path) -> None:
    study = StudyResult.read(whole / "docs/studies/tiny.json")
    assert not study.missing and study.questions == 54
    for method, runs in study.methods.items():
        for seed, run in runs.items():
            name = f"tiny-{method}-{seed}"

            def ask(sql: str, name: str = name) -> Any:
                (row,) = query(whole / "runs", sql.replace("$run", f"run = '{name}'")).rows
                return row

            last = "(SELECT max(iteration) FROM attempts WHERE purpose = 'evaluation')"
            right, asked = ask(
                "SELECT count(*) FILTER (status = 'correct'), count(*) FROM attempts "
                f"WHERE $run AND purpose = 'evaluation' AND iteration = {last}"
            )
            assert asked == 54 and run.mean == pytest.approx(right / asked)
            assert run.rollouts == ask("SELECT count(*) FROM attempts WHERE $run AND purpose = 'train'")[0] == 320
            assert run.update_flops == pytest.approx(ask("SELECT sum(flops) FROM updates WHERE $run")[0])
            assert run.demonstrations == ask("SELECT count(DISTINCT demonstration_id) FROM uses WHERE $run")[0]
            summary = json.loads((whole / "runs" / name / "summary.json").read_text())
            assert run.weights_sha256 == summary["weights_sha256"]
            result = RunResult.read(whole / "docs/studies/tiny" / f"{method}-{seed}.json")
            assert sum(sum(found.after) for found in result.questions.values()) == right
            assert result.curve[0].mean == result.mean_base and result.curve[-1].mean == result.mean
            assert [point.full for point in result.curve] == [True, False, True]
            assert [point.rollouts for point in result.curve] == [0, 192, 320]
    pair = study.pairs["relift - grpo"]
    for seed, difference in pair.by_seed.items():
        means = [study.methods[method][seed].mean for method in ("relift", "grpo")]
        assert difference == pytest.approx(means[0] - means[1])


def test_one_run_done_again_comes_to_the_same_weights_and_its_result_stays(whole: Path, prefect_api: str) -> None:
    file = whole / "docs/studies/tiny/grpo-2.json"
    before = file.read_bytes()
    code, output = command(["compare", "tiny.toml", "--only", "grpo:2"], whole, prefect_api).finish(timeout=300)
    assert code == 0, output
    assert f"grpo-2 came to the same weights again: {RunResult.read(file).weights_sha256}" in " ".join(output.split())
    assert file.read_bytes() == before
    assert not (whole / "runs" / "tiny-grpo-2-again").exists(), "its folder is not needed any more"

    spoilt = json.loads(before)
    spoilt["weights_sha256"] = "0" * 64
    file.write_text(json.dumps(spoilt))
    code, output = command(["compare", "tiny.toml", "--only", "grpo:2"], whole, prefect_api).finish(timeout=300)
    assert code == 2 and "grpo-2 came to other weights" in output
    file.write_bytes(before)


@pytest.mark.alone
def test_ctrl_c_ends_all_runs_within_five_seconds(tmp_path: Path) -> None:
    folder = study_in(tmp_path)
    run = command(["compare", "tiny.toml"], folder)
    run.wait_for(functools.partial(has_begun, folder, 2))
    pressed = time.monotonic()
    run.signal_group(signal.SIGINT)
    code, output = run.finish(timeout=30)
    assert time.monotonic() - pressed < 5, output
    assert code == 3 and "Traceback" not in output and "run the same command again" in " ".join(output.split())
    assert not run.living()


def test_a_run_that_fails_is_said_and_the_others_are_done(tmp_path: Path, prefect_api: str) -> None:
    folder = study_in(tmp_path)
    (folder / "runs").mkdir()
    (folder / "runs" / "tiny-relift-1").write_text("a file where the run is to lie")
    arguments = ["compare", "tiny.toml", "--set", "questions.count=200"]
    code, output = command(arguments, folder, prefect_api).finish(timeout=300)
    assert code == 2, output
    assert "relift-1 could not begin: runs/tiny-relift-1 cannot be written" in output
    assert "grpo-1 waited for a run that failed" in output
    study = StudyResult.read(folder / "docs/studies/tiny.json")
    assert study.missing == ("relift-1", "grpo-1")
    assert study.command == "relift compare tiny.toml --set questions.count=200"
    assert not [path for path in (folder / "runs").iterdir() if path.is_dir()], "what ended is not needed any more"
