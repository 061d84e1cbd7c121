"""A comparison as a Prefect flow: methods x seeds, each a run of the flow ``train`` in a process of its own.

Whatever ends it, running it again goes on: a result that stands is not made again, a run that stands half done is
resumed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Literal

from prefect import flow

from flows.children import Child, begin, end
from flows.server.outage import begun, ended, hold_result
from flows.session import stopped_by_signals
from flows.terminal.study_view import StudyView
from relift.errors import Interrupted, ReliftError, RunError
from relift.interrupt import StopFlag
from relift.run.identity import run_store
from relift.study.comparison import Comparison, open_comparison
from relift.study.planned import PlannedRun
from relift.study.results import RunResult, StudyResult
from relift.study.study import load_study

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25
RESULTS = "docs/studies"
_open: dict[str, tuple[Comparison, StudyView]] = {}


@flow(name="compare", flow_run_name="{study}", persist_result=False)
async def compare(
    study: str,
    settings: list[str] = [],  # noqa: B006 - Prefect reads the default and does not change it
    order: Literal["seeds", "methods"] = "seeds",
    keep: bool = False,
    results: str = RESULTS,
) -> StudyResult:
    """Run every method of a study under every seed, and write what came of it with intervals.

    Args:
        study: Path of the study's TOML file, from the project's folder.
        settings: As for --set, for all runs of the study.
        order: seeds: all methods of the first seed, then of the next; methods: the other way round.
        keep: Keep the folders of runs whose result is written.
        results: Folder of the results.
    """
    held = _open.pop(study, None)
    if held is None:
        comparison = await asyncio.to_thread(
            open_comparison,
            load_study(Path(study), tuple(settings)),
            Path(results),
            command=f"relift compare {study}",
            keep=keep,
            order=order,
            only=None,
        )
        held = comparison, StudyView(comparison)
    return await _run_all(*held)


async def comparing(comparison: Comparison, view: StudyView) -> StudyResult:
    """The same of a comparison that the command line has opened."""
    study = comparison.study
    _open[str(study.path)] = comparison, view
    return await compare(str(study.path), list(study.settings), keep=comparison.keep, results=str(comparison.folder))


async def _run_all(comparison: Comparison, view: StudyView) -> StudyResult:
    """At most so many beside each other as the study says. Raises RunError naming the runs that failed."""
    begun()
    stop = StopFlag()
    try:
        with stopped_by_signals(stop):
            failed = await _work(comparison, view, stop)
        whole = hold_result(await asyncio.to_thread(comparison.publish))
        if failed:
            raise RunError(
                "\n".join([f"{len(failed)} runs failed; the others stand, and the same command goes on.", *failed])
            )
    except BaseException as problem:
        ended(problem)
        raise
    ended()
    return whole


async def _work(comparison: Comparison, view: StudyView, stop: StopFlag) -> list[str]:
    """What is to be said of the runs that failed."""
    children: list[Child] = []
    failed: list[str] = []
    try:
        while True:
            while len(children) < comparison.study.beside and (run := comparison.next_run()):
                try:
                    children.append(await begin(comparison, run))
                except ReliftError as problem:
                    failed.append(f"{run} could not begin: {problem}")
                    continue
                view.began(children[-1])
            if not children:
                return failed + [f"{run} waited for a run that failed" for run in comparison.waiting]
            await asyncio.sleep(LOOK_SECONDS)
            stop.check()
            view.look(children)
            for child in [child for child in children if child.process.returncode is not None]:
                children.remove(child)
                failed += await _ended(comparison, child, view)
    except Interrupted:
        view.note("stopping: the runs end within five seconds, and nothing is lost")
        raise
    finally:
        await end(children)


async def _ended(comparison: Comparison, child: Child, view: StudyView) -> list[str]:
    if child.process.returncode:
        view.failed(child)
        return [f"{child.run} ended with status {child.process.returncode}; {child.log} ends so:\n{child.last_words}"]
    before = comparison.results.get(child.run.key)
    try:
        result = await asyncio.to_thread(comparison.finish, child.run, run_store(child.config, child.name))
    except ReliftError as problem:
        return [f"{child.run} has ended, and its result could not be written: {problem}"]
    if not comparison.keep:
        child.log.unlink(missing_ok=True)
    view.ended(child, result, time.monotonic() - child.began)
    if child.run.again and before:
        return _compared(child.run, before, result, view)
    return []


def _compared(run: PlannedRun, before: RunResult, again: RunResult, view: StudyView) -> list[str]:
    """Of a run that was done again: whether it came out the same. Its result stays as it stood."""
    if before.weights_sha256 == again.weights_sha256:
        view.note(f"{run} came to the same weights again: {again.weights_sha256}")
        return []
    return [
        f"{run} came to other weights: {before.weights_sha256} on {before.machine} with {_said(before)}, now "
        f"{again.weights_sha256} on {again.machine} with {_said(again)}. Its result stays as it stood."
    ]


def _said(result: RunResult) -> str:
    return ", ".join(f"{name} {version}" for name, version in result.versions.items())
