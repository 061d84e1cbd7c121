"""The commands that start a flow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.server.embedded import PrefectServer
from flows.server.outage import run_flow
from relift.config import RunConfig
from relift.config.batch_arithmetic import batch_arithmetic
from relift.config.recipe import load_recipe
from relift.errors import ResumeError, RunError
from relift.evaluation import pass_interval
from relift.policy.vllm_install import require_engine
from relift.run.identity import find_run, is_run, require_same_configuration, run_store
from relift.run.summary import RunSummary, stored_summary
from relift.store.uris import is_bucket

if TYPE_CHECKING:
    from relift.run.run import Run

console = Console()
BY_NAME = "start under another name with --name"
BY_TRAINING = f"{BY_NAME}, or anew with --fresh"
BY_COMMAND = "start another run with `relift train`"
"""What else to do where a run cannot be gone on with, by what the command that was given takes."""


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """A run that cannot be gone on with is refused with what the command at hand can do besides."""
    try:
        yield
    except ResumeError as problem:
        raise problem.or_else(advice) from problem


def train_command(recipe: str, settings: Sequence[str], name: str, fresh: bool) -> None:
    """Open the run, start a Prefect server if there is none, run the flow, print the table."""
    config = load_recipe(recipe, settings)
    name = name or f"{config.recipe}-{config.seed}"
    with advising(BY_TRAINING):
        _train(config, name, advice=BY_TRAINING, fresh=fresh)


def resume_command(uri: str, settings: Sequence[str]) -> None:
    """Go on with the run at a URI, wherever it was started: the URI is all that has to be known."""
    with advising(BY_COMMAND):
        config, name = find_run(uri, settings)
        _train(config, name, advice=BY_COMMAND)


def _train(config: RunConfig, name: str, *, advice: str, fresh: bool = False) -> None:
    store = run_store(config, name)
    root = store.root
    if not fresh:
        require_same_configuration(store, config)
        if (ended := stored_summary(store)) and not ended.goes_on(config.budget, config.iterations):
            print_summary(ended, config)
            console.print(f"The run {name} is finished. To train again, {advice}.", highlight=False)
            return
    require_engine(config)
    server = _started()
    try:
        if fresh:
            server.wait()  # a run that cannot be started anew is not removed
        from relift.opening.run import open_run

        with open_run(config, name, fresh=fresh) as run:
            print_arithmetic(run)
            print_summary(_run_flow(run, server), config)
            console.print(f"Report: {root / 'report' / 'index.html'}")
    finally:
        server.stop()


def evaluate_command(recipe: str, settings: Sequence[str], name: str) -> None:
    """The same for the evaluate flow, of a recipe's model or of what a run trained."""
    if is_run(recipe):
        config, of = _trained(recipe, settings)
        name = name or f"evaluate-{of}"
    else:
        config = load_recipe(recipe, settings)
    name = name or f"evaluate-{config.recipe}-{config.seed}"
    require_engine(config)
    server = _started()
    try:
        from relift.opening.run import open_run

        with advising(BY_NAME), open_run(config, name, teaches=False) as run:
            server.wait()
            from flows.evaluate import evaluate
            from flows.session import flush_prefect, quiet_prefect

            quiet_prefect()
            try:
                results = run_flow(evaluate(config, name), has_ended=server.watched, say=_say)
            finally:
                flush_prefect()
            table = Table("benchmark", "questions", "k", "avg@k", "95 %", "pass@k", "95 %")
            for r in results:
                intervals = [(r.low, r.high), pass_interval(r.pass_at_k, r.questions)]
                avg, passed = (f"{low:.1%} to {high:.1%}" for low, high in intervals)
                shares = (f"{r.avg_at_k:.1%}", avg, f"{r.pass_at_k:.1%}", passed)
                table.add_row(r.benchmark, str(r.questions), str(r.k), *shares)
            console.print(table)
            console.print(f"Report: {run.root / 'report' / 'index.html'}")
            console.print(f"Ledger: {run.snapshot_path}")
    finally:
        server.stop()


def _trained(run: str, settings: Sequence[str]) -> tuple[RunConfig, str]:
    """(the configuration of the run in a folder, with the model that it trained; its name)."""
    from relift.phases.report import MODEL

    if is_bucket(run):
        raise RunError(
            f"{run} lies in a bucket, and a model is loaded from a folder. Copy {run.rstrip('/')}/{MODEL} to this "
            f"machine and run `relift evaluate RECIPE --set policy.model=FOLDER`, with the recipe of that run."
        )
    folder = Path(run).expanduser() / MODEL
    if not folder.is_dir():
        raise RunError(
            f"{run} holds no folder {MODEL}, so there is nothing that it trained: a run writes it when it ends. Give "
            f"a finished run, or a recipe."
        )
    with advising("name a recipe"):
        return find_run(run, [f"policy.model={folder}", *settings])


def harvest_command(recipe: str, settings: Sequence[str], name: str, limit: int) -> None:
    """The teachers of a recipe, or of a run, are asked for what is open in the project's ledgers."""
    with advising("name a recipe"):
        config = find_run(recipe, settings)[0] if is_run(recipe) else load_recipe(recipe, settings)
    name = name or f"harvest-{config.recipe}-{config.seed}"
    server = _started()
    try:
        from relift.opening.harvest import open_harvest

        with open_harvest(config, name) as opened:
            server.wait()
            from flows.harvest import as_text, harvest
            from flows.session import flush_prefect, quiet_prefect

            quiet_prefect()
            try:
                report = run_flow(harvest(config, name, limit), has_ended=server.watched, say=_say)
            finally:
                flush_prefect()
            console.print(as_text(report), highlight=False, markup=False)
            console.print(f"Ledger: {opened.root}", highlight=False, markup=False)
    finally:
        server.stop()


def _run_flow(run: Run, server: PrefectServer) -> RunSummary:
    """Raises Interrupted, a UserError or whatever went wrong in the flow."""
    server.wait()
    imported = time.perf_counter()
    from flows.session import flush_prefect, quiet_prefect
    from flows.terminal.view import make_view
    from flows.train import train

    run.progress.prefect_start_seconds = server.seconds + time.perf_counter() - imported
    quiet_prefect()
    with make_view(console, run) as view:
        run.progress.views.append(view)
        try:
            return run_flow(train(run.config, run.name), has_ended=server.watched, say=run.progress.note)
        finally:
            flush_prefect()


def _started() -> PrefectServer:
    """It goes on starting while the run is opened."""
    server = PrefectServer()
    server.start()
    if server.unused:
        _say(server.unused)
    return server


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False)


def print_arithmetic(run: Run) -> None:
    """The batch arithmetic, before anything starts."""
    table = Table("per run", "", "how", title=f"{run.name}: {run.config.recipe}", title_justify="left")
    for line in batch_arithmetic(run.config, questions=len(run.questions.training), iterations=run.iterations):
        table.add_row(line.what, line.amount, line.how)
    console.print(table)


def print_summary(summary: RunSummary, config: RunConfig) -> None:
    """Family, base, after; and what it took."""
    started = ["warm start"] if config.warm_start else []
    table = Table("family", "kind", "base", *started, "after", "95 %")
    for name, s in summary.families.items():
        start = [f"{s.start:.1%}" for _ in started]
        table.add_row(name, s.kind, f"{s.base:.1%}", *start, f"{s.after:.1%}", f"{s.low:.1%} to {s.high:.1%}")
    table.add_section()
    start = [f"{summary.mean_start:.1%}" for _ in started]
    table.add_row("mean", "", f"{summary.mean_base:.1%}", *start, f"{summary.mean_after:.1%}", "")
    console.print(table)
    console.print(
        f"{summary.used}, {summary.iterations} iterations, {summary.rollouts:,} rollouts, "
        f"{summary.update_flops:.3g} FLOPs of updates, {summary.seconds:.0f} s",
        highlight=False,
    )
    if summary.teacher:
        console.print(f"Teacher: {summary.teacher}", highlight=False, markup=False)
