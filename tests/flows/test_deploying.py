"""Deploying, as far as no server is needed to see it."""

from __future__ import annotations

import os

import pytest

from relift.errors import RunError


def test_a_server_too_busy_to_deploy_to_is_a_message_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.server import deployments as deploying

    monkeypatch.setattr(deploying, "DEPLOY_LIMIT_SECONDS", 0.05)
    with pytest.raises(RunError, match=r"not deployed within 0 s: the Prefect server at http://x/api.*same command"):
        deploying.deploy(os.environ | {"PREFECT_API_URL": "http://x/api"})
