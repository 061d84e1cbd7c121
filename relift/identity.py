"""A run's folder and what makes it that run: light enough to ask before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

from relift.config import RunConfig
from relift.errors import RunError
from relift.lock import RunLock
from relift.recipe import differences, validated
from relift.resolved import Resolved
from relift.store import open_store
from relift.store.folder import write_atomically

log = logging.getLogger(__name__)
RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"


def is_finished(root: Path) -> bool:
    """Whether the run came to its end; its summary is the last thing it writes."""
    return (root / SUMMARY_FILE).exists()


def remove_run(root: Path) -> None:
    """Forget a run and everything in its folder (``--fresh``); refused while another process writes it."""
    if root.exists():
        lock = RunLock(root / "lock")
        lock.acquire()
        shutil.rmtree(root)
        lock.release()


def write_identity(root: Path, config: RunConfig, resolved: Resolved) -> Resolved:
    """Store configuration and resolved values with a new run; compare them with those of an old one.

    Returns the resolved values to use: those the run started with, so that its sums stay the same (contract 4).
    """
    path = root / RUN_FILE
    if not path.exists():
        tree = {"config": config.model_dump(mode="json"), "resolved": dataclasses.asdict(resolved)}
        write_atomically(path, (json.dumps(tree, indent=1) + "\n").encode())
        return resolved
    require_same_configuration(root, config)
    stored = Resolved(**json.loads(path.read_text())["resolved"])
    for line in stored.what_may_differ(resolved):
        log.warning("this run was started elsewhere: %s; resumed weights may differ in their last bits", line)
    return stored.on(resolved)


def require_same_configuration(root: Path, config: RunConfig) -> None:
    """Raises RunError showing every setting that differs from the run's own and may not."""
    path = root / RUN_FILE
    if not path.exists():
        return
    changed = differences(validated(json.loads(path.read_text())["config"], origin=str(path)), config)
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise RunError(
            f"the run {root.name} exists with another configuration:\n{listed}\nA run is one configuration from start "
            f"to end. Use the old values, start under another name with --name, or anew with --fresh."
        )


def run_root(config: RunConfig, name: str) -> Path:
    if not name or name.startswith(".") or any(c in name for c in "/\\\0") or len(name) > 100:
        raise RunError(f"a run cannot be called {name!r}: use up to 100 letters, digits, '-', '_' or '.'")
    return open_store(config.store).root / name
