"""relift as it is installed from a wheel, in an environment of its own and outside of any clone: `make test-wheel`."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.small_run import SETTINGS
from tests.wheel.conftest import tracked

PACKAGES = ("flows", "relift", "tasks")
Relift = Callable[..., tuple[int, str]]


def test_wheel_and_source_hold_every_file_of_the_packages_and_the_licence(dist: Path, wheel: Path) -> None:
    wanted = set(tracked(*PACKAGES))
    assert {f"{package}/py.typed" for package in PACKAGES} <= wanted
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert not wanted - held
    assert any(name.endswith("/licenses/LICENSE") for name in held)
    assert {name.split("/")[0] for name in held if not name.startswith("relift-")} == set(PACKAGES), "no tests"
    with tarfile.open(next(dist.glob("*.tar.gz"))) as source:
        held = {name.partition("/")[2] for name in source.getnames()}
    assert not (wanted | {"LICENSE", "README.md", "pyproject.toml", "prefect.yaml"}) - held


def test_the_demo_runs_and_is_reported_and_asked_without_a_clone(relift: Relift, tmp_path: Path) -> None:
    where = "import flows, relift, tasks; print(*(module.__path__[0] for module in (flows, relift, tasks)))"
    code, output = relift("-c", where, program="python")
    assert code == 0, output
    for folder in output.split():
        assert "site-packages" in folder and (Path(folder) / "py.typed").is_file()
    assert relift("-c", "import pytest", program="python")[0] == 1, "it has more than the wheel says it needs"

    settings = [part for setting in (*SETTINGS, "iterations=2") for part in ("--set", setting)]
    code, output = relift("train", "demo", *settings)
    assert code == 0, output
    root = tmp_path / "runs" / "demo-0"
    assert json.loads((root / "summary.json").read_text())["iterations"] == 2
    shutil.rmtree(root / "report")
    code, output = relift("report", "runs/demo-0")
    assert code == 0, output
    assert "mulsub" in (root / "report" / "index.html").read_text()
    code, output = relift("hard", "states")
    assert code == 0 and "demo-0" in output, output
    code, output = relift("sql", "SELECT count(*) || ' updates' AS n FROM updates")
    assert code == 0 and " updates" in output, output
    code, output = relift("hard", "browse", "--out", "page.html")
    assert code == 0 and "</script>" in (tmp_path / "page.html").read_text(), output


def test_what_to_deploy_comes_with_the_wheel(relift: Relift, environment: Path, tmp_path: Path) -> None:
    code, output = relift("deploy")
    shipped = environment.parent / "share" / "relift" / "prefect.yaml"
    assert code == 2 and f"cp {shipped} ." in output, output
    shutil.copy(shipped, tmp_path)
    code, output = relift("deploy")
    assert code == 2 and "PREFECT_API_URL is not set" in output, output
