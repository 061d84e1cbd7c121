"""Killed after any phase and resumed, a run goes on as if nothing had happened: metrics, weights, optimizers, all."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from relift.learning import optimizer_tensors
from relift.opening.run import open_run
from relift.phases.checkpoint import checkpoint
from relift.phases.gate import gate
from relift.phases.iteration_report import report_iteration
from relift.phases.sft_update import sft_update
from relift.phases.source import source
from relift.policy.weights import weights_checksum
from relift.records import PolicyVersion, UpdateKind
from relift.run.progress import METRICS
from relift.run.run import Run
from tests.phases.conftest import Opener, drive, sampled, updated
from tests.small_run import small_config

PHASES = ("rollout", "probe", "verify", "gate", "source", "rl_update", "sft_update", "report_iteration", "checkpoint")
REFILL = ("rollout", "rollout/1", "verify/1", "rollout/2", "verify/2", "gate", "checkpoint")
"""Where a run that refills, draws from pools and retires has more to go on from than another."""
OF_A_RULE = ("rollout", "gate", "source", "rl_update", "trial", "sft_update")
"""What is asked of a rule, and what it is told, lies in these."""
SETTINGS = (
    "checkpoint.every=2",
    "questions.batch_size=8",
    "rl.questions_per_update=4",
    "teach.rule.batch_size=2",
    "sft.rehearse=2",
)
FORMS = {
    "shuffle": SETTINGS,
    "refill": (*SETTINGS, "sampling.refill.cap=3", "sampling.pools.newest=2", "sampling.retire.after=1"),
}
CASES = [("shuffle", phase) for phase in PHASES] + [("refill", phase) for phase in REFILL]
KILLED_IN, END = 3, 5
"""At the end of the iteration killed in there is a checkpoint; the one before it is replayed from the record."""


@dataclass(frozen=True)
class Outcome:
    """Of a run driven to END."""

    metrics: list[dict[str, Any]]
    weights: str
    optimizers: dict[str, torch.Tensor]
    interleave: dict[str, Any]
    order: dict[str, Any]
    ledger: str

    @classmethod
    def of(cls, run: Run, version: PolicyVersion) -> Outcome:
        run.policy.at(version)
        return cls(
            metrics=[without_times(json.loads(line)) for line in (run.root / METRICS).read_text().splitlines()],
            weights=weights_checksum(run.policy.model),
            optimizers={
                f"{kind}.{name}": tensor.clone()
                for kind, optimizer in run.policy.optimizers.items()
                for name, tensor in optimizer_tensors(optimizer).items()
            },
            interleave=run.interleaving.to_json(),
            order=run.order.to_json(),
            ledger=run.ledger.digest(),
        )


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """A line of the metrics less what depends on the machine's mood."""
    report.pop("seconds")
    for update in report["updates"]:
        del update["seconds"], update["peak_memory_bytes"]
    return report


def drive_and_keep(run: Run, keep: Callable[[int, str], None], end: int = END) -> PolicyVersion:
    """A run to ``end`` without an interruption; ``keep`` is called after every phase."""
    version = run.base
    for iteration in range(end):
        rollouts, verdicts = sampled(run, iteration, version, keep)
        gated = gate(run, iteration, rollouts, verdicts)
        keep(iteration, "gate")
        sourced = source(run, iteration, gated)
        keep(iteration, "source")
        version, trials = updated(run, iteration, (rollouts, verdicts, gated, sourced), version, keep)
        version = sft_update(run, iteration, rollouts, verdicts, gated, sourced, version, trials)
        keep(iteration, "sft_update")
        report_iteration(run, iteration, rollouts, verdicts, gated)
        keep(iteration, "report_iteration")
        if (iteration + 1) % run.config.checkpoint.every == 0:
            checkpoint(run, iteration + 1, version)
            keep(iteration, "checkpoint")
    return version


def keep_copy(run: Run, folder: Path) -> None:
    """The run's folder as a kill at this moment leaves it, less the snapshot that is being written beside."""
    shutil.copytree(run.root, folder, ignore=shutil.ignore_patterns("*.partial*"))


def require_same_end(
    opener: Opener, settings: Sequence[str], root: Path, kept: Mapping[str, Path], expected: Outcome, end: int
) -> None:
    """From each of the folders ``kept`` by phase, a run of these settings in ``root`` ends as the uninterrupted one."""
    for phase, folder in kept.items():
        shutil.rmtree(root)
        shutil.copytree(folder, root)
        again = opener(*settings)
        require_equal(Outcome.of(again, drive(again, end)[-1]), expected, phase)
        again.__exit__()


def require_equal(found: Outcome, expected: Outcome, phase: str) -> None:
    assert found.weights == expected.weights, phase
    assert found.metrics == expected.metrics, phase
    assert (found.interleave, found.order) == (expected.interleave, expected.order), phase
    assert found.ledger == expected.ledger, phase
    assert found.optimizers.keys() == expected.optimizers.keys()
    for name, tensor in expected.optimizers.items():
        assert torch.equal(found.optimizers[name], tensor), f"{phase}: {name}"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Outcome]]:
    """Of a form: (folder that holds, by phase, the run's folder as a kill after that phase leaves it; what the run came
    to)."""

    @functools.cache
    def driven(form: str) -> tuple[Path, Outcome]:
        folder = tmp_path_factory.mktemp("killed")
        torch.set_num_threads(1)
        with open_run(small_config(folder / "whole", *FORMS[form]), "small") as run:

            def keep(iteration: int, phase: str) -> None:
                # Open files and all: what is not written at this moment is what a killed process takes with it.
                if iteration == KILLED_IN:
                    keep_copy(run, folder / phase.replace("/", "-") / "small")

            outcome = Outcome.of(run, drive_and_keep(run, keep))
        for report in outcome.metrics[KILLED_IN - 1 :]:
            assert [update["kind"] for update in report["updates"]] == ["rl", "sft"], "too little happens to show it"
        return folder, outcome

    return driven


@pytest.mark.parametrize(("form", "phase"), CASES)
def test_killed_after_a_phase_and_resumed_the_next_metrics_are_the_uninterrupted_runs(
    form: str, phase: str, uninterrupted: Callable[[str], tuple[Path, Outcome]]
) -> None:
    folder, expected = uninterrupted(form)
    killed = folder / phase.replace("/", "-")
    assert (killed / "small").is_dir(), "the run never came to that phase"
    with open_run(small_config(killed, *FORMS[form]), "small") as run:
        found = Outcome.of(run, drive(run, END)[-1])
    require_equal(found, expected, phase)
    assert {name.partition(".")[0] for name in found.optimizers} == set(UpdateKind)
