"""Where a run's dataset, benchmarks and model lie may change when it is resumed; what they hold may not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from relift.config import RunConfig
from relift.config.recipe import load_recipe
from relift.errors import RunError
from relift.opening.run import open_run
from relift.policy.tiny import write_random_bytes
from relift.run.identity import find_run


def rows(path: Path, numbers: range) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f'{{"question": "What is {i}+{i}?", "answer": "{2 * i}"}}\n' for i in numbers))


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """Root of a run whose inputs lie in a folder that is gone; they are in another one now."""
    old, new = tmp_path / "old", tmp_path / "new"
    rows(old / "questions.jsonl", range(200))
    rows(old / "bench.jsonl", range(1000, 1020))
    write_random_bytes(old / "model", seed=0)
    config = load_recipe(
        "gsm8k",
        [
            "questions.format=rows",
            f"questions.path={old / 'questions.jsonl'}",
            f"policy.model={old / 'model'}",
            f"evaluation.benchmarks=[{{name='bench', path='{old / 'bench.jsonl'}'}}]",
            f"store={tmp_path / 'runs'}",
        ],
    )
    with open_run(config, "begun") as run:
        root = run.root
    shutil.move(old, new)
    return root


def moved(root: Path) -> RunConfig:
    new = root.parents[1] / "new"
    settings = [
        f"questions.path={new / 'questions.jsonl'}",
        f"policy.model={new / 'model'}",
        f"evaluation.benchmarks.0.path={new / 'bench.jsonl'}",
    ]
    return find_run(str(root), settings)[0]


def test_a_run_goes_on_with_its_inputs_from_another_folder(begun: Path) -> None:
    config = moved(begun)
    with open_run(config, "begun") as run:
        assert len(run.questions.by_id) == 220
        assert json.loads((run.root / "run.json").read_text())["config"]["questions"]["path"] != config.questions.path


@pytest.mark.parametrize("changed", ["questions.jsonl", "bench.jsonl", "model"])
def test_inputs_of_another_content_are_refused(begun: Path, changed: str) -> None:
    path = begun.parents[1] / "new" / changed
    if changed == "model":
        shutil.rmtree(path)
        write_random_bytes(path, seed=1)
    else:
        path.write_text(path.read_text().replace('"answer": "2', '"answer": "3'))
    with pytest.raises(RunError, match="was started from other " + ("base weights" if changed == "model" else "quest")):
        open_run(moved(begun), "begun")


def test_a_dataset_under_another_file_name_is_refused_since_results_go_by_it(begun: Path) -> None:
    new = begun.parents[1] / "new"
    (new / "questions.jsonl").rename(new / "renamed.jsonl")
    config = moved(begun)
    renamed = config.questions.model_copy(update={"path": str(new / "renamed.jsonl")})
    with pytest.raises(RunError, match="was started from other questions"):
        open_run(config.model_copy(update={"questions": renamed}), "begun")
