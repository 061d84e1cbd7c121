"""Prefect task: fine-tuning on demonstrations before the first iteration."""

from __future__ import annotations

from prefect import task

from relift.phases.warm_start import warm_start as body
from relift.records import PolicyVersion
from relift.run.session import RunRef
from tasks.compute import in_compute


# Never retried by Prefect: a failed update leaves no version resident, and running again resumes from the manifests.
@task(name="warm_start", persist_result=False)
async def warm_start(run: RunRef, version: PolicyVersion) -> PolicyVersion:
    """The policy version that the iterations begin with."""
    return await in_compute("warm_start", body, run, version)
