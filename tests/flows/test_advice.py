"""A run that cannot be gone on with is refused with what the command at hand can do besides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.run import evaluate_command, harvest_command, resume_command, train_command
from relift.errors import ResumeError
from relift.opening.run import open_run
from relift.run.identity import RUN_FILE
from tests.small_run import SETTINGS, small_config

TRAIN = "or start under another name with --name, or anew with --fresh"
EVALUATE = "or start under another name with --name"
RESUME = "or start another run with `relift train`"


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with open_run(small_config(tmp_path / "runs"), "small", teaches=False) as run:
        return run.root


def settings_of(root: Path) -> list[str]:
    return [*SETTINGS, f"store={root.parent}", "evaluation.questions=7"]


@pytest.mark.flow
@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda root: train_command("demo", settings_of(root), "small", False), TRAIN),
        (lambda root: evaluate_command("demo", settings_of(root), "small"), EVALUATE),
        (
            lambda root: resume_command(str(root), ["evaluation.questions=7"]),
            "or start another run with `relift train`",
        ),
    ],
    ids=["train", "evaluate", "resume"],
)
def test_other_settings_are_refused_with_options_that_the_command_has(
    call: Callable[[Path], None], advice: str, begun: Path, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with pytest.raises(ResumeError) as refused:
        call(begun)
    assert "evaluation.questions: 6 -> 7" in str(refused.value)
    assert str(refused.value).endswith(f"Use the old values, {advice}.")


def test_a_damaged_run_is_no_source_of_a_harvests_teachers(begun: Path) -> None:
    (begun / RUN_FILE).write_text("{")
    with pytest.raises(ResumeError, match=r"Restore it from a copy, or name a recipe\.$"):
        harvest_command(str(begun), [], "", 1)
