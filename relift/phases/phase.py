"""What all phases share: a key, an input digest, a manifest last."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from relift.records import PhaseRef
from relift.run.recorded import phase_key
from relift.run.run import Run
from relift.store.folder import Content

log = logging.getLogger(__name__)


def finished(run: Run, iteration: int, phase: str, inputs: str) -> PhaseRef | None:
    """The phase's recorded output when it was made from the same inputs; None when the work has to be done."""
    key = phase_key(iteration, phase)
    manifest = run.store.manifest(key)
    if manifest is None:
        return None
    if manifest.inputs != inputs:
        log.warning("%s was recorded from other inputs and is made again", key)
        return None
    return PhaseRef(key=key, sha256=run.store.manifest_sha256(key), counts=manifest.counts, reused=True)


def finish(
    run: Run,
    iteration: int,
    phase: str,
    files: Mapping[str, Content],
    *,
    inputs: str,
    counts: Mapping[str, float],
    facts: Mapping[str, Any] | None = None,
) -> PhaseRef:
    """Publish the phase's files and, last, its manifest."""
    key = phase_key(iteration, phase)
    run.store.publish(key, files, inputs=inputs, counts=counts, facts=facts)
    return PhaseRef(key=key, sha256=run.store.manifest_sha256(key), counts=counts)


def forget(run: Run, iteration: int, phase: str) -> None:
    """What was recorded of a phase that a rule, mended since, has nothing for any more."""
    key = phase_key(iteration, phase)
    if run.store.manifest(key) is not None:
        run.store.remove(key)


def facts_of(run: Run, ref: PhaseRef) -> Mapping[str, Any]:
    manifest = run.store.manifest(ref.key)
    assert manifest is not None
    return manifest.facts


def progress_of(run: Run, iteration: int) -> float:
    """Share of the run that is over when an iteration begins: of its budget, or of its iterations without one."""
    used = run.config.budget.share(run.spent)
    return min(1.0, iteration / max(1, run.resolved.schedule_iterations) if used is None else used)
