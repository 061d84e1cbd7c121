"""Where a flow run of a deployment stands, and what its run is called.

A process worker starts flow runs in a temporary folder that it removes afterwards. RELIFT_HOME, set where the worker
runs, names the project's folder: relative paths (store, datasets, models) are meant from there. The deployments in
the server so hold no path of any machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from prefect.runtime import deployment, flow_run

from flows.private import keep_private
from flows.server.embedded import PROJECT_FILE
from relift.config import RunConfig
from relift.errors import RunError

HOME_VARIABLE = "RELIFT_HOME"


def enter_project() -> dict[str, str]:
    """The pull step of every deployment: Prefect changes to the folder it names. Raises RunError where it is none."""
    keep_private()
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        return {}
    folder = Path(home).expanduser()
    if not folder.is_dir():
        raise RunError(
            f"{HOME_VARIABLE}={home} is no folder of the machine that the worker runs on. Set it there to the "
            f"project's folder (the one with {PROJECT_FILE}), or make the folder, and start the worker again."
        )
    return {"directory": str(folder.resolve())}


def require_project(config: RunConfig) -> None:
    """Raises RunError where a deployment's run would be lost: a relative store in a folder that is not the project."""
    if not deployment.id or "://" in config.store or Path(config.store).expanduser().is_absolute():
        return
    here = Path.cwd()
    home = os.environ.get(HOME_VARIABLE)
    if (home and here == Path(home).expanduser().resolve()) or (here / PROJECT_FILE).is_file():
        return
    raise RunError(
        f"store={config.store!r} is relative, and this flow run stands in {here}, which is not the project: what it "
        f"writes would be lost with that folder. Start the worker with {HOME_VARIABLE} set to the project's folder "
        f"(`relift serve` does), or set store to an absolute path or s3://bucket/prefix."
    )


def run_name(name: str = "") -> str:
    """Of the run that this flow run works on, the same whenever it is retried.

    The name that was given; else the flow and the scheduled date (UTC) in a schedule, such as
    ``evaluate-2026-01-31-0300``; else the flow run's id.
    """
    if name:
        return name
    if _is_scheduled():
        # Set once, when the flow run is made: a retry does not move it.
        at = flow_run.scheduled_start_time
        return f"{flow_run.flow_name}-{at:%Y-%m-%d-%H%M}" + (f"{at:%S}" if at.second else "")
    return str(flow_run.id)


def flow_run_name() -> str:
    """What the flow run is called in the UI: as its run, but Prefect's two words where that is the id."""
    name = str(flow_run.parameters.get("name") or "")
    return run_name(name) if name or _is_scheduled() else str(flow_run.name)


def _is_scheduled() -> bool:
    return "auto-scheduled" in flow_run.tags
