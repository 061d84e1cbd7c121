"""The public face: which names there are, that docs/python.md shows them in use, and what importing it costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import relift
from relift.opening.run import open_run
from tests.small_run import small_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NAMES = [
    "Completion",
    "Demonstration",
    "Distil",
    "Drop",
    "EngineInputs",
    "EvalResult",
    "FinishReason",
    "GradedCompletion",
    "GuidedPrompt",
    "IterationReport",
    "Join",
    "Ledger",
    "Moment",
    "Objective",
    "Partial",
    "PolicyTokens",
    "Prompt",
    "Question",
    "ReliftError",
    "Rollout",
    "RolloutGroup",
    "Rule",
    "Run",
    "RunConfig",
    "SamplingRequest",
    "Status",
    "Supervise",
    "Table",
    "Turn",
    "UpdateReport",
    "UserError",
    "Verdict",
    "Verifier",
    "find_run",
    "load_recipe",
    "open_project",
    "open_run",
    "query",
    "question_id",
    "recipe_names",
]


def test_the_public_names_are_these_and_no_others() -> None:
    assert relift.__all__ == NAMES
    assert set(NAMES) <= set(dir(relift))


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_there_and_where_a_type_checker_looks_for_it(name: str) -> None:
    source = ast.parse((ROOT / "relift" / "__init__.py").read_text())
    typed = {
        alias.name: node.module
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relift.")
        for alias in node.names
    }
    assert getattr(relift, name) is getattr(sys.modules[typed[name] or ""], name)


def test_a_name_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Verifer'; it offers Completion, .*Verifier"):
        relift.Verifer  # noqa: B018


def test_importing_relift_loads_nothing_that_takes_time() -> None:
    code = "import sys, relift; dir(relift); print(*{m.partition('.')[0] for m in sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "prefect", "duckdb", "pydantic", "numpy"} & set(found)


def test_the_page_shows_every_name_in_use_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [name for name in NAMES if not re.search(rf"relift\.{name}\b", PAGE)]
    assert not missing
    monkeypatch.chdir(tmp_path)
    with open_run(small_config(Path("runs"), "questions.count=40"), "demo-0") as run:
        run.publish()
    page: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/python.md", "exec"), page)
    assert page["accuracy"] == [(None,)]
