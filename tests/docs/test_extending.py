"""docs/extending.md: what stands there is what runs, and is the same run when it is stopped and started again."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shlex
import shutil
import signal
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from relift.config.recipe import RECIPES, load_recipe, validated
from relift.ledger import Ledger
from relift.opening.run import open_run
from relift.phases.iteration_report import report_iteration
from relift.policy.weights import weights_checksum
from tests.flows.conftest import command
from tests.phases.conftest import drive

PAGE = (RECIPES.parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
FILES = {name: text for _, name, text in BLOCKS if name}
COMMANDS = [
    shlex.split(line) for kind, _, text in BLOCKS if kind == "sh" for line in text.replace("\\\n", " ").splitlines()
]
NAMES = [arguments[arguments.index("--name") + 1] for arguments in COMMANDS]
OWN = {
    "twice": "twice.py",
    "guided": "guided.py",
    "lead": "lead.py",
    "insert": "insert.py",
    "instead": "instead.py",
    "loss": "my_losses.py",
    "reward": "my_rewards.py",
    "record": "my_engines.py",
    "replay": "my_engines.py",
    "teacher": "my_teachers.py",
}
RESUMED = ("twice", "guided", "lead", "insert", "instead", "loss", "reward", "replay", "teacher")
KILLED = ("lead", "loss", "reward", "replay", "teacher")
"""By the command, one of each kind: a rule, a loss, a reward, an engine and a teacher."""
STOPPED_AFTER = 1
"""Before there is a checkpoint, so that its updates are repeated from the record."""


@dataclass(frozen=True)
class Outcome:
    weights: str
    ledger: str
    root: Path


def settings_of(arguments: list[str]) -> list[str]:
    return [value for flag, value in itertools.pairwise(arguments) if flag == "--set"]


def run_as(arguments: list[str], store: str, *stops: int) -> Outcome:
    """The command's run, opened anew after each of the iterations ``stops``."""
    assert arguments[:2] == ["relift", "train"] and arguments[3] == "--name"
    config = load_recipe(arguments[2], [*settings_of(arguments), f"store={store}"])
    for end in (*stops, config.iterations or 0):
        with open_run(config, arguments[4]) as run:
            version = drive(run, end)[-1]
            run.policy.at(version)
            outcome = Outcome(weights_checksum(run.policy.model), run.ledger.digest(), run.root.absolute())
    return outcome


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the page's files lie, and where its commands run."""
    made = tmp_path_factory.mktemp("extending")
    for name, text in FILES.items():
        (made / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setattr(sys, "path", [*sys.path])
        yield made
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, Outcome]:
    """By name, in the order of the page: one replays what another wrote down."""
    torch.set_num_threads(1)
    return {name: run_as(arguments, "runs") for name, arguments in zip(NAMES, COMMANDS, strict=True)}


def test_every_block_of_python_is_a_file_that_a_command_uses() -> None:
    assert all(name for kind, name, _ in BLOCKS if kind == "python")
    assert set(OWN.values()) == {name for name in FILES if name.endswith(".py")}
    assert len(set(NAMES)) == len(NAMES) and {"plain", *OWN} == set(NAMES)


def test_a_section_that_the_page_shows_is_what_a_recipe_takes() -> None:
    shown = [text for kind, name, text in BLOCKS if kind == "toml" and not name]
    assert shown
    for text in shown:
        tree = tomllib.loads(FILES["small.toml"])
        for section, part in tomllib.loads(text).items():
            tree[section] = {**tree.get(section, {}), **part}
        validated(tree, origin="the page")


@pytest.mark.parametrize("name", RESUMED)
def test_an_example_that_is_stopped_and_resumed_is_the_same_run(name: str, whole: dict[str, Outcome]) -> None:
    resumed = run_as(COMMANDS[NAMES.index(name)], "stopped", STOPPED_AFTER)
    assert (resumed.weights, resumed.ledger) == (whole[name].weights, whole[name].ledger)


def test_the_replayed_run_is_the_run_that_was_written_down_and_writing_down_changes_nothing(
    whole: dict[str, Outcome],
) -> None:
    assert whole["plain"].weights == whole["record"].weights == whole["replay"].weights
    assert whole["loss"].weights != whole["plain"].weights


def test_each_rule_does_what_the_page_says(whole: dict[str, Outcome]) -> None:
    """More of them: tests/phases/test_own_rules.py."""
    counted = {}
    for name in ("twice", "guided", "insert", "instead"):
        with Ledger.open(whole[name].root / "ledger.duckdb", name) as ledger:
            kinds = dict(ledger.execute("SELECT kind, count(*) FROM uses GROUP BY kind"))
            ((guided,),) = ledger.execute("SELECT count(*) FROM groups WHERE purpose = 'guided'")
            counted[name] = (kinds.keys(), guided > 0)
    by_rl = ({"rl"}, False)
    assert counted == {"twice": ({"sft"}, False), "guided": (set(), True), "insert": by_rl, "instead": by_rl}


def test_the_metrics_of_the_loss_arrive_in_metrics_jsonl_and_in_the_ledger(whole: dict[str, Outcome]) -> None:
    root = whole["loss"].root
    lines = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    told = [update["metrics"] for line in lines for update in line["updates"] if update["kind"] == "rl"]
    with Ledger.open(root / "ledger.duckdb", "loss") as ledger:
        rows = ledger.execute("SELECT metrics, entropy FROM updates WHERE kind = 'rl' ORDER BY iteration")
    assert [{**own, "entropy": entropy} for own, entropy in rows] == told
    assert any(update["below"] > 0 for update in told), "nothing met the floor, so the loss shows nothing"
    assert all(0.5 < update["ratio"] < 2 for update in told)


def test_the_teachers_solutions_are_taught_and_what_it_does_not_know_is_told(whole: dict[str, Outcome]) -> None:
    with Ledger.open(whole["teacher"].root / "ledger.duckdb", "teacher") as ledger:
        sources = ledger.execute(
            "SELECT source, count(*) FILTER (refusal IS NULL), count(*) FILTER (refusal LIKE 'no solution: %'), "
            "count(demonstration_id) FILTER (demonstration_id IN (SELECT demonstration_id FROM uses)) "
            "FROM demonstrations GROUP BY ALL ORDER BY source"
        )
    assert [source for source, *_ in sources] == ["dataset", "my_teachers:worked"]
    (_, from_dataset, _, _), (_, admitted, unknown, taught) = sources
    assert admitted > 0 and unknown > 0 and taught > 0 and from_dataset > 0
    assert whole["teacher"].weights == whole["plain"].weights, "it writes what the dataset does"


@pytest.mark.parametrize("name", OWN)
def test_the_digest_of_its_source_is_kept_with_the_run(name: str, whole: dict[str, Outcome]) -> None:
    (digest,) = json.loads((whole[name].root / "run.json").read_text())["plugins"].values()
    assert digest == hashlib.sha256(FILES[OWN[name]].encode()).hexdigest()


def test_the_phases_of_the_table_are_those_of_an_iteration(whole: dict[str, Outcome]) -> None:
    table = PAGE.partition("| phase |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    found = {path.name for path in (whole["plain"].root / "iterations" / "00002").iterdir()}
    # Nothing is probed here, "plain" has no trials, and the report of an iteration is a line, no folder.
    assert set(told) == found | {"probe", "trial", report_iteration.__name__}
    assert list((whole["lead"].root / "iterations").glob("*/trial/manifest.json"))


def rest_of(arguments: list[str], *more: str) -> list[str]:
    return [*arguments[1:], *(part for setting in more for part in ("--set", setting))]


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.parametrize("name", KILLED)
def test_the_command_killed_goes_on_to_the_same_weights_and_not_with_another_source(
    name: str, whole: dict[str, Outcome], folder: Path, tmp_path: Path, prefect_api: str
) -> None:
    for each in (*FILES, "tape"):
        source = folder / each
        shutil.copytree(source, tmp_path / each) if source.is_dir() else shutil.copy(source, tmp_path)
    arguments, root = COMMANDS[NAMES.index(name)], tmp_path / "runs" / name
    run = command(rest_of(arguments), tmp_path, prefect_api)
    run.wait_for((root / "iterations" / "00001" / "rl_update" / "manifest.json").exists)
    run.signal_group(signal.SIGKILL)
    run.process.communicate()

    with (tmp_path / OWN[name]).open("a") as file:
        file.write("\n# another source\n")
    code, output = command(rest_of(arguments), tmp_path, prefect_api).finish()
    told = " ".join(output.split())
    assert code == 2 and "Traceback" not in output
    assert re.search(rf"source of \S+ {OWN[name][:-3]}:\w+ has changed since the run {name} was started", told), told

    code, output = command(rest_of(arguments, "allow_changed_plugins=true"), tmp_path, prefect_api).finish()
    assert code == 0, output
    summary: dict[str, Any] = json.loads((root / "summary.json").read_text())
    assert summary["weights_sha256"] == whole[name].weights
