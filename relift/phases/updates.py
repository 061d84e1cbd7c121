"""What both updates share: learning rates, how an update is recorded as a policy version, and how it is read back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from relift.errors import SelfCheckFailed
from relift.learning import Conduct, Sizes, schedule_factor
from relift.ledger import Use
from relift.phases.phase import facts_of
from relift.records import PhaseRef, PolicyVersion, UpdateKind, UpdateReport
from relift.run.run import Run
from relift.store.folder import Content

log = logging.getLogger(__name__)


def learning_rate(run: Run, kind: UpdateKind, iteration: int) -> float:
    """Of an update in an iteration; recorded with it, so that a replay does not depend on how long the run became."""
    config = run.config
    adam = config.sft.optimizer if kind is UpdateKind.SFT and config.sft else config.rl.optimizer
    return adam.lr * schedule_factor(adam.schedule, iteration, run.resolved.schedule_iterations)


def conduct_of(run: Run, lr: float) -> Conduct:
    return Conduct(sizes=sizes_of(run), lr=lr, check=run.stop.check)


def sizes_of(run: Run) -> Sizes:
    """How the run's forward passes are cut up."""
    return Sizes(
        vocabulary=run.student.vocabulary,
        micro_batch_tokens=run.resolved.micro_batch_tokens,
        chunk_tokens=run.resolved.chunk_tokens,
    )


def record_update(
    run: Run,
    iteration: int,
    place: str,
    *,
    files: Mapping[str, Content],
    reports: Sequence[UpdateReport],
    uses: Sequence[Sequence[Use]],
    parent: PolicyVersion,
    inputs: str,
    redo: Mapping[str, Any],
) -> PolicyVersion:
    """Name the resident weights as a new version: ledger first (idempotent), manifest last.

    ``redo`` is what a replay needs. Without any optimizer step taken the parent stays the version.
    """
    kind = UpdateKind.SFT if place.endswith("sft_update") else UpdateKind.RL
    moved = any(report.steps for report in reports)
    if moved:
        number = parent.number + 1
        checksum = run.policy.moved_to(number)
        version = PolicyVersion(number=number, checksum=checksum, parent=parent.number, iteration=iteration, kind=kind)
    else:
        run.policy.moved_to(parent.number)
        version = parent
    _count_refusals(run, reports)
    _keep(run, iteration, place, version, reports, uses)
    run.store.publish(
        place,
        files,
        inputs=inputs,
        counts={"updates": len(reports), "tokens": sum(r.tokens for r in reports)},
        facts={
            "version": _plain(version),
            "moved": moved,
            "reports": [asdict(r) for r in reports],
            "uses": [[asdict(use) for use in of_update] for of_update in uses],
            "redo": dict(redo),
        },
    )
    return _with_phase(run, version, place)


def recorded_update(run: Run, iteration: int, ref: PhaseRef) -> PolicyVersion:
    """The version that a recorded update made; written into a ledger that was restored from an older snapshot."""
    version = committed_version(run, ref)
    if not run.ledger.has(run.key(f"{ref.uri}/0")):
        uses = [[Use(**tree) for tree in of_update] for of_update in facts_of(run, ref)["uses"]]
        _keep(run, iteration, ref.uri, version, reports_of(run, ref.uri), uses)
    return version


def _keep(
    run: Run,
    iteration: int,
    place: str,
    version: PolicyVersion,
    reports: Sequence[UpdateReport],
    uses: Sequence[Sequence[Use]],
) -> None:
    for index, report in enumerate(reports):
        used = uses[index] if uses else ()
        run.ledger.record_update(run.key(f"{place}/{index}"), iteration, report, version, uses=used)


def committed_version(run: Run, ref: PhaseRef) -> PolicyVersion:
    """The version that a recorded update made."""
    tree = dict(facts_of(run, ref)["version"])
    kind = tree.pop("kind")
    return PolicyVersion(**tree, kind=UpdateKind(kind) if kind else None, phase=ref)


def reports_of(run: Run, place: str) -> tuple[UpdateReport, ...]:
    """What the updates of a recorded phase reported; empty where there was none."""
    manifest = run.store.manifest(place)
    if manifest is None:
        return ()
    return tuple(UpdateReport.of(tree) for tree in manifest.facts["reports"])


def _count_refusals(run: Run, reports: Sequence[UpdateReport]) -> None:
    """Raises SelfCheckFailed after too many updates in a row whose gradient could not be used."""
    for report in reports:
        if report.steps:
            run.refused_in_a_row = 0
        elif report.refused:  # an update without any signal says nothing either way
            run.refused_in_a_row += 1
    limit = run.config.checks.max_skipped_updates
    if run.refused_in_a_row >= limit:
        raise SelfCheckFailed(
            f"{run.refused_in_a_row} updates in a row were refused for a gradient that is not finite or above "
            f"skip_above (checks.max_skipped_updates={limit}): the run has diverged. Lower the learning rate or "
            f"resume from an earlier checkpoint."
        )


def _with_phase(run: Run, version: PolicyVersion, place: str) -> PolicyVersion:
    return replace(version, phase=PhaseRef(uri=place, sha256=run.store.manifest_sha256(place)))


def _plain(version: PolicyVersion) -> dict[str, Any]:
    tree = asdict(version)
    tree.pop("phase")
    return tree
