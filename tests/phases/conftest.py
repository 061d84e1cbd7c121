"""Runs driven by hand, phase by phase, without Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from relift.interleave.rules.self_distil import IN_VIEW
from relift.interleave.rules.zppo import COMPARED, MISTAKEN, WRONG
from relift.opening.run import open_run
from relift.phases.checkpoint import checkpoint
from relift.phases.gate import gate
from relift.phases.iteration_report import report_iteration
from relift.phases.probe import probe
from relift.phases.refill import refill
from relift.phases.rl_update import rl_update
from relift.phases.rollout import rollout
from relift.phases.rounds import next_round
from relift.phases.sft_update import sft_update
from relift.phases.source import source
from relift.phases.trial import trial
from relift.phases.verify import verify
from relift.phases.warm_start import warm_start
from relift.records import PhaseRef, PolicyVersion
from relift.run.run import Run
from tests.guesser import DIGITS, answer, guesser_config, write_guesser
from tests.small_run import small_config

Opener = Callable[..., Run]
SHOWN = {COMPARED.format(answer("0"), answer("1")): DIGITS} | {
    MISTAKEN.format("\n\n".join([WRONG.format(1, answer("1")), WRONG.format(2, answer("2"))])): DIGITS
}
SHOWN |= {IN_VIEW.format(answer(digit)): digit for digit in DIGITS}
"""What the guesser has been asked with, and the digits that it then answers with."""


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Opens the small run in the test's folder; what is still open is closed at the end."""
    torch.set_num_threads(1)
    with ExitStack() as stack:

        def opened(*settings: str, name: str = "small") -> Run:
            return stack.enter_context(open_run(small_config(tmp_path / "runs", *settings), name))

        yield opened


@pytest.fixture(scope="session")
def guesser_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guesser(tmp_path_factory.mktemp("guesser"), SHOWN)


@pytest.fixture
def guesser(guesser_model: Path, tmp_path: Path) -> Iterator[Opener]:
    """The same of a model that reads and writes any text, without a supervised update."""
    with ExitStack() as stack:

        def opened(*settings: str, name: str = "small") -> Run:
            return stack.enter_context(open_run(guesser_config(guesser_model, tmp_path / "runs", *settings), name))

        yield opened


def sampled(
    run: Run, iteration: int, version: PolicyVersion, keep: Callable[[int, str], None] = lambda *_: None
) -> tuple[PhaseRef, PhaseRef]:
    """As flows/train.py does it; ``keep`` is called after every phase."""
    rollouts = rollout(run, iteration, version)
    keep(iteration, "rollout")
    probe(run, iteration, version)
    keep(iteration, "probe")
    verdicts = verify(run, iteration, rollouts)
    keep(iteration, "verify")
    while next_round(run.config, rollouts, verdicts):
        rollouts = refill(run, iteration, version, rollouts, verdicts)
        keep(iteration, f"rollout/{rollouts.rounds - 1}")
        verdicts = verify(run, iteration, rollouts, verdicts)
        keep(iteration, f"verify/{verdicts.rounds - 1}")
    return rollouts, verdicts


def updated(
    run: Run,
    iteration: int,
    phases: tuple[PhaseRef, PhaseRef, PhaseRef, PhaseRef],
    version: PolicyVersion,
    keep: Callable[[int, str], None] = lambda *_: None,
) -> tuple[PolicyVersion, PhaseRef | None]:
    """The RL update and the trials before or after it, as flows/train.py has them; ``phases`` are rollout to source."""
    is_first, trials = run.interleaving.needs_demonstrations_first, None
    if is_first:
        trials = trial(run, iteration, *phases, version)
        keep(iteration, "trial")
    *before, sourced = phases
    version = rl_update(run, iteration, *before, version, sourced, trials)
    keep(iteration, "rl_update")
    if not is_first:
        trials = trial(run, iteration, *phases, version)
        keep(iteration, "trial")
    return version, trials


def drive(run: Run, iterations: int, *, checkpoints: bool = True) -> list[PolicyVersion]:
    """Run (or resume) up to ``iterations``, or to where the budget is used up; the version after each iteration that
    this call went through."""
    iteration, version = run.resume()
    versions = []
    if iteration < 0:
        iteration, version = 0, warm_start(run, version)
        checkpoint(run, iteration, version)
    while iteration < iterations and (run.config.budget.share(run.spent) or 0) < 1:
        rollouts, verdicts = sampled(run, iteration, version)
        gated = gate(run, iteration, rollouts, verdicts)
        sourced = source(run, iteration, gated)
        version, trials = updated(run, iteration, (rollouts, verdicts, gated, sourced), version)
        version = sft_update(run, iteration, rollouts, verdicts, gated, sourced, version, trials)
        report_iteration(run, iteration, rollouts, verdicts, gated)
        versions.append(version)
        iteration += 1
        if checkpoints and iteration % run.config.checkpoint.every == 0:
            checkpoint(run, iteration, version)
    return versions


def driven_run(folder: Path, settings: Sequence[str], end: int) -> Iterator[Run]:
    """What a fixture yields: the small run after so many iterations, to be looked at and left as it is."""
    with open_run(small_config(folder, *settings), "small") as run:
        drive(run, end, checkpoints=False)
        yield run
