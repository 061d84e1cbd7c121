"""Deploying, as far as no server is needed to see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relift.errors import RunError


def test_a_server_too_busy_to_deploy_to_is_a_message_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.server import deployments as deploying

    monkeypatch.setattr(deploying, "DEPLOY_LIMIT_SECONDS", 0.05)
    with pytest.raises(RunError, match=r"not deployed within 0 s: the Prefect server at http://x/api.*same command"):
        deploying.deploy(os.environ | {"PREFECT_API_URL": "http://x/api"})


def test_a_prefect_yaml_of_an_earlier_relift_is_refused_with_todays_names_before_any_server_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Prefect would say no more than "Encountered error while running flows.deploying.recipe"."""
    from flows.server.serve import serve_command

    monkeypatch.chdir(tmp_path)
    steps = "pull:\n  - flows.place.enter_project: {}\nbuild:\n  - flows.deploying.recipe: {id: recipe, name: demo}\n"
    (tmp_path / "prefect.yaml").write_text(steps)
    with pytest.raises(RunError) as refused:
        serve_command(host="127.0.0.1", port=4200, cpu_runs=1, gpu_runs=1, pools=())
    assert str(refused.value).endswith(
        "Write in it flows.run_name. for flows.place., and flows.server.deployments. for flows.deploying."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["prefect.yaml"]
