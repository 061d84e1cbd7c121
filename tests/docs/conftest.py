"""Pages whose blocks are files and commands."""

from __future__ import annotations

from tests.flows.conftest import prefect_api

__all__ = ["prefect_api"]
