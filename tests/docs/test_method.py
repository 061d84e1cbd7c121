"""The recipe and the study of docs/method.md, and the settings of its table, are ones that relift takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relift.config.recipe import load_recipe
from relift.study.study import load_study

TEXT = (Path(__file__).parents[2] / "docs/method.md").read_text()
ROWS = re.findall(r"^\| (`[a-z-]+`|rehearsal) \| (.*?) \|", TEXT, flags=re.MULTILINE)


def test_the_study_on_ones_own_data_is_one(tmp_path: Path) -> None:
    for name, text in re.findall(r"^```toml (\S+)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text)
    study = load_study(tmp_path / "my-study.toml")
    relift, grpo = (study.config(study.methods[name], 1, {}) for name in ("relift", "grpo"))
    assert relift.sft and grpo.sft is None and relift.questions.held_out_share == 0.3
    each = relift.questions.batch_size * relift.rollout.samples
    assert relift.budget.rollouts == 20 * each, "as its comment says"


@pytest.mark.parametrize(("name", "settings"), ROWS)
def test_the_settings_of_a_method_go_over_the_demo(name: str, settings: str) -> None:
    found = [] if settings == "the default" else re.findall(r"`([^`]+)`", settings)
    config = load_recipe("demo", found)
    assert len(found) == settings.count("`") // 2
    kind = name.strip("`")
    if (Path(__file__).parents[2] / f"relift/interleave/rules/{kind.replace('-', '_')}.py").exists():
        assert config.teach.rule.kind == kind and config.teaches


def test_every_rule_has_a_row() -> None:
    rules = {
        path.stem.replace("_", "-") for path in (Path(__file__).parents[2] / "relift/interleave/rules").glob("*.py")
    } - {"make", "--init--"}
    assert rules <= {name.strip("`") for name, _ in ROWS}
