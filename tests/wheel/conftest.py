"""A wheel of this tree, and an environment that holds it and what it declares to need, nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from email.parser import Parser
from importlib.metadata import Distribution, PackagePath, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
IS_FULL = bool(os.environ.get("RELIFT_TEST_WHEEL_FULL"))
"""Install the dependencies again as a user does, which takes minutes; else they are linked from this environment."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.wheel)


def tracked(*folders: str) -> list[str]:
    """Files of the tree, those that are not committed yet too, by path."""
    told = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *folders], cwd=ROOT, capture_output=True, check=True
    )
    return [name for name in told.stdout.decode().splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what `python -m build` makes of a clean copy of the tree: what lies in a clone hides omissions."""
    clone = tmp_path_factory.mktemp("clone")
    for name in tracked():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, clone / name)
    run([sys.executable, "-m", "build", str(clone), "--outdir", str(clone / "dist")], clone)
    return clone / "dist"


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment's commands."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(venv)], venv.parent)
    install = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet", str(wheel)]
    if IS_FULL:
        run([*install, "-c", str(ROOT / "constraints.txt")], venv.parent)
    else:
        run([*install, "--no-deps", "--no-index"], venv.parent)
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            needs = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])
        link(needs, next(venv.glob("lib/python*/site-packages")))
    return venv / "bin"


@pytest.fixture
def relift(environment: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs a command of the environment in an empty folder: (exit code, what it prints)."""

    def command(*arguments: str, program: str = "relift") -> tuple[int, str]:
        told = subprocess.run(
            [environment / program, *arguments],
            cwd=tmp_path,
            env=outside(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=180,
        )
        return told.returncode, told.stdout

    return command


def outside() -> dict[str, str]:
    """This process's environment without what leads back into the clone."""
    ours = ("PYTHON", "PREFECT_", "VIRTUAL_ENV", "RELIFT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"COLUMNS": "200"}


def link(needs: Sequence[str], site: Path) -> None:
    """Put the distributions that these requirements lead to into a site-packages, without copying them."""
    owners: dict[str, list[PackagePath]] = {}
    shared: set[str] = set()
    for found in closure(needs):
        files = [file for file in found.files or () if ".." not in file.parts]
        for top in {file.parts[0] for file in files}:
            if top in owners:  # a namespace of several distributions
                shared.add(top)
            owners.setdefault(top, []).extend(file for file in files if file.parts[0] == top)
    for top, files in owners.items():
        if top not in shared:
            (site / top).symlink_to(Path(files[0].dist.locate_file(top)))
            continue
        for file in files:
            if not (site / file).exists():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                (site / file).symlink_to(file.locate())


def closure(needs: Sequence[str]) -> list[Distribution]:
    """The distributions that these requirements lead to, each once."""
    todo = [(Requirement(need), "") for need in needs]
    done: set[tuple[str, str]] = set()
    found: dict[str, Distribution] = {}
    while todo:
        need, of_extra = todo.pop()
        if need.marker and not need.marker.evaluate({"extra": of_extra}):
            continue
        name = re.sub(r"[-_.]+", "-", need.name).lower()
        found.setdefault(name, distribution(name))
        for extra in ("", *need.extras):
            if (name, extra) not in done:
                done.add((name, extra))
                todo += [(Requirement(text), extra) for text in found[name].requires or ()]
    return list(found.values())


def run(command: Sequence[str], folder: Path) -> None:
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
