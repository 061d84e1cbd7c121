"""The studies of the repository: every method of theirs is a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from relift.study.study import load_study

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_method_of_a_shipped_study_is_a_configuration(path: Path) -> None:
    study = load_study(path)
    for method in study.methods.values():
        config = study.config(method, study.seeds[0], None)
        assert config.evaluation is not None
        assert (config.rl is None) is method.reference, method.name


def test_the_tables_of_the_readme_are_on_seeds_that_were_not_tuned_on() -> None:
    found = {path.stem: load_study(path) for path in STUDIES if path.stem.startswith("arithmetic")}
    assert {name: study.seeds for name, study in found.items()} == {
        "arithmetic": (101, 102, 103, 104, 105),
        "arithmetic-tuning": (0, 1, 2),
        **dict.fromkeys(("arithmetic-families", "arithmetic-flops", "arithmetic-paper"), (101, 102, 103)),
    }
    table = found["arithmetic"]
    assert len(table.methods) == 16 and [m.name for m in table.methods.values() if m.reference] == ["sft-all", "sft-n"]
    assert table.expected == {"relift - grpo": 0.2, "relift - random": 0.1, "relift - sft-then-rl-n": 0.15}
