"""A configuration that a run recorded is read in today's keys, whoever reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli.main import main
from relift.config import recorded
from relift.config.losses import PpoConfig
from relift.config.recipe import recorded_config
from relift.config.recorded import in_todays_keys
from relift.errors import ConfigError, RunError
from relift.exchange.check import settings_of
from relift.ledger import Ledger
from relift.ledger.runs import answer_form_of
from relift.opening.run import open_run
from relift.rebuild.rebuild import rebuild
from relift.report.data import read_report_data
from relift.run import identity
from relift.run.identity import find_run
from tests.small_run import small_config

OLD = {"questions": "dataset", "sft": "supervised"}
"""Names of sections in a relift that never was, by what they are called today."""


def translate(tree: dict[str, Any]) -> None:
    for today, old in OLD.items():
        if old in tree:
            tree[today] = tree.pop(old)


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """The folder of a run whose run.json is in the old names."""
    config = small_config(tmp_path / "runs")
    with open_run(config, "small") as run:
        root = run.root
    tree = json.loads((root / "run.json").read_text())
    tree["config"] = {OLD.get(key, key): value for key, value in tree["config"].items()}
    (root / "run.json").write_text(json.dumps(tree))
    return root


def test_every_reader_of_a_recorded_configuration_takes_old_keys(
    old_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(tmp_path / "runs")
    old = (old_run / "run.json").read_text()
    stored = json.dumps(json.loads(old)["config"])
    with pytest.raises(ConfigError, match="dataset: no such key"):
        find_run(str(old_run), [])

    monkeypatch.setattr(recorded, "TRANSLATIONS", (translate,))
    assert find_run(str(old_run), []) == (config, "small")
    assert find_run(str(old_run), ["sft.epochs=3"])[0].sft.epochs == 3  # type: ignore[union-attr]
    open_run(config, "small").__exit__()
    assert read_report_data(old_run).demonstrations_per_update == 4
    assert settings_of("small", stored).questions == config.questions
    assert answer_form_of(stored) == "equals"
    (old_run / "iterations").mkdir(exist_ok=True)
    for ledger in old_run.glob("*.duckdb"):
        ledger.unlink()
    rebuild(old_run)
    with Ledger.open(old_run / "ledger.duckdb", "small") as ledger:
        assert ledger.counts()["questions"] > 0
    assert (old_run / "run.json").read_text() == old, "what was recorded stays as it is"


def test_a_tree_of_today_and_what_is_no_configuration_stay_as_they_are(tmp_path: Path) -> None:
    config = small_config(tmp_path / "runs")
    tree = config.model_dump(mode="json")
    assert in_todays_keys(tree) == tree
    assert in_todays_keys({"import": {"runs": None}}) == {"import": {"runs": None}}
    before = json.dumps(tree)
    recorded_config(tree, ["rollout.samples=2"], origin="the test")
    assert json.dumps(tree) == before


def test_a_loss_that_was_recorded_in_part_has_the_defaults_of_its_time(tmp_path: Path) -> None:
    tree = small_config(tmp_path / "runs").model_dump(mode="json")
    del tree["rl"]["loss"]
    before_gspo = tree | {"rl": tree["rl"] | {"clip": None}}  # rl.ratio and rl.surrogate came after rl.clip
    assert recorded_config(before_gspo, origin="run.json").rl.loss == PpoConfig(clip=None)
    without_clip = tree | {"rl": tree["rl"] | {"surrogate": "ppo"}}
    assert recorded_config(without_clip, origin="run.json").rl.loss == PpoConfig()
    damaged = tree | {"rl": tree["rl"] | {"surrogate": "cispo", "clip": "none"}}
    with pytest.raises(ConfigError, match=r"run\.json cannot be used:\n  rl\.loss\.clip: "):
        recorded_config(damaged, origin="run.json")


def test_a_run_that_cannot_go_on_is_refused_by_the_relift_that_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(tmp_path / "runs")
    with open_run(config, "small") as run:
        root = run.root
    monkeypatch.setattr(identity, "RESUMABLE", identity.FORMAT + 1)
    with pytest.raises(
        RunError, match=r"begun by relift 0\.2\.0, .* cannot go on\. It can still be .* Go on with it by"
    ):
        open_run(config, "small")
    monkeypatch.setattr("sys.argv", ["relift", "resume", str(root)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Go on with it by the relift that began it, or start another run" in capsys.readouterr().err
    assert find_run(str(root), [])[1] == "small"
