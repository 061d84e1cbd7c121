"""`relift compare`: a study, run and read."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from flows.server.embedded import HOME, PrefectServer, locked, make_home
from flows.server.outage import run_flow
from relift.errors import ConfigError, RunError
from relift.study.comparison import Comparison, open_comparison
from relift.study.files import page_file, study_file
from relift.study.study import load_study

console = Console()


def compare_command(path: str, settings: Sequence[str], *, only: str, order: str, keep: bool, results: str) -> None:
    """Check everything, start a Prefect server if there is none, run what does not stand yet, print the tables."""
    if order not in ("seeds", "methods"):
        raise ConfigError(f"--order {order!r}: give seeds (all methods of the first seed first) or methods")
    study = load_study(Path(path), tuple(settings))
    make_home()
    lock = locked(HOME / f"study-{study.name}.lock", fcntl.LOCK_EX)
    if lock is None:
        raise RunError(f"the study {study.name} is being run by another `relift compare` here: wait for it, or stop it")
    with lock:
        comparison = open_comparison(
            study, Path(results), command=_typed(path, settings), keep=keep, order=order, only=_run_of(only)
        )
        _run(comparison)


def _run(comparison: Comparison) -> None:
    from flows.terminal.study_table import print_study

    if not comparison.waiting:
        whole = comparison.publish()
    else:
        server = PrefectServer()
        server.start()
        try:
            server.wait()
            from flows.compare import comparing
            from flows.session import flush_prefect, quiet_prefect
            from flows.terminal.study_view import StudyView

            quiet_prefect()
            view = StudyView(comparison, console)
            with view.shown():
                try:
                    whole = run_flow(comparing(comparison, view), has_ended=server.watched, say=view.note)
                finally:
                    flush_prefect()
        finally:
            server.stop()
    print_study(console, whole)
    study = comparison.study.name
    for what, path in (
        ("Results", study_file(comparison.folder, study)),
        ("Page", page_file(comparison.folder, study)),
    ):
        console.print(f"{what}: {path}", highlight=False, markup=False, soft_wrap=True)


def _run_of(only: str) -> tuple[str, int] | None:
    if not only:
        return None
    method, _, seed = only.rpartition(":")
    if not method or not seed.isdecimal():
        raise ConfigError(f"--only {only!r} names no run: write METHOD:SEED, such as --only relift:101")
    return method, int(seed)


def _typed(path: str, settings: Sequence[str]) -> str:
    """The command for whoever wants to have it again: as it was typed, without what names this machine."""
    program = Path(sys.argv[0])
    relift = str(program) if not program.is_absolute() else "relift"
    return " ".join([relift, "compare", path, *(f"--set {setting}" for setting in settings)])
