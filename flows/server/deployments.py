"""What deployments need on a Prefect server: pools with queues, and the deployments of prefect.yaml.

Everything here may be done again: what exists is left or brought up to date, nothing is made twice.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prefect.automations import AutomationCore
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from flows.server.embedded import PROJECT_FILE
from relift.config.recipe import load_recipe
from relift.errors import RunError
from relift.urls import shown_url, without_passwords

DEPLOY_LIMIT_SECONDS = 120.0
SCHEDULED_QUEUE = "scheduled"
ENDED = ("Completed", "Failed", "Crashed", "Cancelled")
SILENT_SECONDS = 420.0
"""Without a sign of life for so long, a flow run's process is taken for gone. What relift starts gives one every 30 s;
a run that was started elsewhere with Prefect's own settings every 180 s, and one of these may be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A work pool whose workers start processes on their own machine, e.g. name ``"gpu"``."""

    name: str
    description: str


POOLS = (
    Pool(name="cpu", description="Flows that need no accelerator: harvest, comparison reports, ledger upkeep."),
    Pool(name="gpu", description="Flows that run a model: train and evaluate. The worker's --limit shares the GPUs."),
)


def recipe(name: str, settings: Sequence[str] = ()) -> dict[str, Any]:
    """A build step of prefect.yaml: the whole tree of a recipe, as default parameters of a deployment.

    Raises ConfigError as the command line does.
    """
    return {"config": load_recipe(name, list(settings)).model_dump(mode="json")}


async def prepare_server() -> None:
    """Make the pools, their queues and the watch over flow runs whose process is gone."""
    async with get_client() as client:
        for pool in POOLS:
            await _make_pool(client, pool)
        await _watch_heartbeats(client)


async def _make_pool(client: PrefectClient, pool: Pool) -> None:
    template = ProcessWorker.get_default_base_job_template()
    try:
        found = await client.read_work_pool(pool.name)
    except ObjectNotFound:
        await client.create_work_pool(
            WorkPoolCreate(name=pool.name, type="process", description=pool.description, base_job_template=template)
        )
    else:
        if found.type != "process":
            raise RunError(
                f"the work pool {pool.name!r} of this Prefect server is of type {found.type!r}, but relift serve "
                f"starts workers of type 'process'. Start workers of that type yourself (docs/deployments.md), or "
                f"remove the pool: prefect work-pool delete {pool.name}"
            )
        if not found.base_job_template:
            await client.update_work_pool(pool.name, WorkPoolUpdate(base_job_template=template))
    with suppress(ObjectAlreadyExists):
        # After the pool's default queue, so that a schedule never goes before what a person started.
        await client.create_work_queue(
            name=SCHEDULED_QUEUE, work_pool_name=pool.name, priority=2, description="Runs that a schedule started."
        )


async def _watch_heartbeats(client: PrefectClient) -> None:
    """A flow run whose process died with its worker would stay Running for ever, and could not be retried."""
    watch = AutomationCore(
        name="relift: flow runs without a sign of life",
        description="Marks a flow run as crashed when its process was not heard of, so that Retry can resume it.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in ENDED)},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no sign of life for {SILENT_SECONDS:.0f} s: its process is gone. Retry resumes it.",
            )
        ],
    )
    found = await client.read_automations_by_name(watch.name)
    if not found:
        await client.create_automation(watch)
    elif isinstance(old := found[0].trigger, EventTrigger) and old.within != timedelta(seconds=SILENT_SECONDS):
        await client.update_automation(found[0].id, watch.model_copy(update={"enabled": found[0].enabled}))


def deploy(environment: Mapping[str, str]) -> None:
    """Deploy everything in prefect.yaml. Raises RunError with what Prefect said."""
    try:
        completed = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEPLOY_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunError(
            f"{PROJECT_FILE} was not deployed within {DEPLOY_LIMIT_SECONDS:.0f} s: the Prefect server at "
            f"{shown_url(environment.get('PREFECT_API_URL', ''))} or this machine is too busy. Run the same command "
            f"again: what was deployed is not made twice."
        ) from None
    if completed.returncode or "Traceback" in completed.stdout:
        said = without_passwords("\n".join((completed.stdout + completed.stderr).strip().splitlines()[-15:]))
        raise RunError(f"{PROJECT_FILE} could not be deployed; Prefect said:\n{said}")
