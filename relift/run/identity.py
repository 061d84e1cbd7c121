"""A run's folder and what makes it that run: light enough to ask before anything heavy is loaded."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relift.config import RunConfig
from relift.config.recipe import differences, recorded_config
from relift.config.resolved import Resolved
from relift.errors import ResumeError, RunError
from relift.interrupt import StopFlag
from relift.run.lock import RunLock
from relift.store import FolderStore, Store, open_store
from relift.store.folder import working_copy_of, write_atomically
from relift.store.uris import is_bucket, require_uri

log = logging.getLogger(__name__)
RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"
FORMAT = 4
"""Of run.json."""
RESUMABLE = 4
"""The oldest format of a run that can be gone on with: raised with FORMAT by whatever changes the fingerprint of a
configuration or what is recorded, since the phases of an older run would then be made again instead of recognised."""


def remove_run(store: Store) -> None:
    """Forget a run and everything in its folder (``--fresh``).

    Raises RunError for a folder that is no run, or that another process writes. It is renamed before it is removed, so
    that a removal cut short leaves no half of a run under its name.
    """
    root = store.root
    if not root.exists() and not is_bucket(store.uri):
        return
    if root.exists() and any(root.iterdir()) and not (root / RUN_FILE).exists() and not (root / "lock").exists():
        raise RunError(
            f"{root} is no run of relift (it has no {RUN_FILE}), so --fresh does not remove it. Check store and "
            f"--name, or remove the folder yourself."
        )
    lock = RunLock(root / "lock")
    lock.acquire()
    try:
        store.acquire(StopFlag())
        store.clear()
        store.release()
    except BaseException:
        lock.release()
        raise
    leaving = root.with_name(f".{root.name}.removed")
    if leaving.exists():
        shutil.rmtree(leaving)
    root.rename(leaving)
    shutil.rmtree(leaving)
    lock.release()


def write_identity(
    store: Store,
    config: RunConfig,
    resolved: Resolved,
    made_from: Mapping[str, str],
    *,
    plugins: Mapping[str, str] | None = None,
) -> tuple[Resolved, bool]:
    """Store configuration, resolved values and digests of the inputs with a new run; compare them with an old one's.

    ``plugins`` are digests of the sources of plug-ins by their settings, None where none of them is used. Of one that
    was allowed to change the digests of before stay, oldest first, under ``earlier_plugins``.

    Returns the resolved values to use, those the run started with, so that its sums stay the same (contract 4), and
    whether versions and machine are still those of the start. Raises ResumeError when the run's questions, base weights
    or prompts are others now.
    """
    root = store.root
    if not has_begun(store):
        new: dict[str, Any] = {
            "format": FORMAT,
            "config": config.model_dump(mode="json"),
            "resolved": dataclasses.asdict(resolved),
            "made_from": dict(made_from),
            "plugins": dict(plugins or {}),
            "earlier_plugins": {},
        }
        _write(store, new)
        return resolved, True
    require_same_configuration(store, config)
    tree = read_identity(store)
    replaced = _replaced_plugins(root.name, tree["plugins"], plugins, allowed=config.allow_changed_plugins)
    changed = [name for name, digest in tree["made_from"].items() if made_from.get(name) != digest]
    if changed:
        raise ResumeError(
            f"the run {root.name} was started from other {' and '.join(changed)} than it finds now: what it recorded "
            f"would not fit.",
            "Put the old files back",
            changed,
        )
    if plugins and (replaced or not plugins.keys() <= tree["plugins"].keys()):  # or so far it was evaluated alone
        earlier = {name: [*tree["earlier_plugins"].get(name, ()), tree["plugins"][name]] for name in replaced}
        _write(
            store,
            {
                **tree,
                "plugins": {**tree["plugins"], **plugins},
                "earlier_plugins": {**tree["earlier_plugins"], **earlier},
            },
        )
    stored = Resolved(**tree["resolved"])
    moved = stored.what_may_differ(resolved)
    for line in moved:
        log.warning("this run was started elsewhere: %s; resumed weights may differ in their last bits", line)
    return stored.on(resolved), not moved


def _write(store: Store, identity: Mapping[str, Any]) -> None:
    write_atomically(store.root / RUN_FILE, (json.dumps(identity, indent=1) + "\n").encode())
    store.put_file(RUN_FILE)


def _replaced_plugins(
    run: str, before: Mapping[str, str], now: Mapping[str, str] | None, *, allowed: bool
) -> list[str]:
    """Names of the plug-ins of another source than the run last trained with, where that is allowed.

    Raises ResumeError where it is not. Which ones it uses is the configuration's to say.
    """
    replaced = [name for name, digest in (now or {}).items() if before.get(name, digest) != digest]
    for name in replaced:
        changed = (
            f"the source of {name} has changed since the run {run} was started (sha256 {before[name]}, now "
            f"{(now or {})[name]})"
        )
        if not allowed:
            raise ResumeError(
                f"{changed}: what it recorded was made by other code.",
                "Put the old source back, or go on with the new one by --set allow_changed_plugins=true",
                [name],
            )
        log.warning("%s; allow_changed_plugins lets it go on", changed)
    return replaced


def has_begun(store: Store) -> bool:
    return store.read_file(RUN_FILE) is not None


def read_identity(store: Store) -> dict[str, Any]:
    """What ``write_identity`` stored; ResumeError when the file is damaged."""
    try:
        tree: dict[str, Any] = json.loads(store.read_file(RUN_FILE) or b"")
        if tree.get("format", FORMAT) > FORMAT:
            raise RunError(
                f"{store.uri}/{RUN_FILE} has format {tree['format']}, this relift reads up to {FORMAT}: the run was "
                f"started with a newer version. Upgrade relift."
            )
        Resolved(**tree["resolved"])
        plugins = tree.get("plugins", {})
        return {
            "format": tree.get("format", 1),
            "config": tree["config"],
            "resolved": tree["resolved"],
            "made_from": tree["made_from"],
            "plugins": plugins,
            "earlier_plugins": tree.get("earlier_plugins", {}),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        if isinstance(problem, RunError):
            raise
        raise ResumeError(
            f"{store.uri}/{RUN_FILE} is damaged or of another version of relift ({problem}), so the run cannot be "
            f"resumed.",
            "Restore it from a copy",
        ) from problem


def require_same_configuration(store: Store, config: RunConfig) -> None:
    """Raises ResumeError for a run of an earlier relift that cannot be gone on with, and showing every setting that
    differs from the run's own and may not."""
    if not has_begun(store):
        return
    identity = read_identity(store)
    if identity["format"] < RESUMABLE:
        raise ResumeError(
            f"the run {store.root.name} was begun by relift {identity['resolved']['relift']}, whose recorded phases "
            f"this relift does not recognise, so it cannot go on. It can still be evaluated, reported, exported, "
            f"attached, rebuilt and harvested.",
            "Go on with it by the relift that began it",
        )
    changed = differences(recorded_config(identity["config"], origin=f"{store.uri}/{RUN_FILE}"), config)
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise ResumeError(
            f"the run {store.root.name} exists with another configuration:\n{listed}\nA run is one configuration from "
            f"start to end.",
            "Use the old values",
            changed,
        )


def is_run(text: str) -> bool:
    """Whether it names a run, by URI or folder, rather than a recipe."""
    return is_bucket(text) or (Path(text).expanduser() / RUN_FILE).is_file()


def find_run(uri: str, settings: Sequence[str] = ()) -> tuple[RunConfig, str]:
    """(configuration, name) of the run at a URI or in a folder, as it was started, with ``settings`` on top.

    Raises RunError where there is no run, StoreError where the store cannot be read.
    """
    uri = require_uri(uri)
    if not is_bucket(uri):
        folder = Path(uri).expanduser().absolute()
        uri = working_copy_of(folder) or str(folder)
    parent, _, name = uri.rstrip("/").rpartition("/")
    store = open_store(uri.rstrip("/"), Path(name))
    if not has_begun(store):
        raise RunError(
            f"there is no run at {uri}: it holds no {RUN_FILE}. Give the URI or folder of one run, such as "
            f"s3://bucket/runs/demo-0 or runs/demo-0."
        )
    tree = {**read_identity(store)["config"], "store": parent}
    return recorded_config(tree, settings, origin=f"{uri}/{RUN_FILE}"), name


def run_root(config: RunConfig, name: str) -> Path:
    if not name or name.startswith(".") or any(c in name for c in "/\\\0") or len(name) > 100:
        raise RunError(f"a run cannot be called {name!r}: use up to 100 letters, digits, '-', '_' or '.'")
    require_uri(config.store)
    return Path(config.scratch if is_bucket(config.store) else config.store).expanduser() / name


def run_store(config: RunConfig, name: str) -> Store:
    """Where the run of that name keeps what it writes; nothing is asked of a server yet."""
    root = run_root(config, name)
    return open_store(f"{require_uri(config.store)}/{name}", root) if is_bucket(config.store) else FolderStore(root)
