"""Ledgers of elsewhere that a project reads beside its own: the locations in ``<store>/attached.toml``.

One is a folder of runs, one run, one ledger file, a ledger as Parquet (``relift ledger export --format parquet``),
or any of these in a bucket. Its runs are always called ``<its name>/<run>``, so no name can clash, now or
later. What is fetched or converted lies in ``<store>/.attached/<name>/``, a cache that may be removed at any time.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relift.errors import LedgerError, StoreError
from relift.ledger import migrate, parquet, schema
from relift.ledger.schema import LEDGER, SNAPSHOT, snapshots
from relift.ledger.sql import quoted
from relift.store.uris import is_bucket, require_uri

log = logging.getLogger(__name__)
FILE = "attached.toml"
CACHE = ".attached"
_HEAD = (
    "# Ledgers that are read beside the runs in this folder, their runs as <name>/<run>.\n"
    "# Written by `relift ledger attach` and `relift ledger detach`; it may be edited.\n"
)
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One attached location, e.g. name ``"big"``, uri ``"s3://bucket/relift-7b"``."""

    name: str
    """Before the names of its runs, with a slash."""
    uri: str
    """An absolute path, or s3://..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One ledger file of this machine that a project reads, e.g. alias ``"run_demo-0"``, prefix ``""``."""

    path: Path
    alias: str
    prefix: str = ""
    """What its runs' names are given in front, e.g. ``"big/"``."""


def locations(store: Path) -> list[Location]:
    """The attached locations, in the order of attaching. Raises LedgerError for a file that says something else."""
    path = store / FILE
    if not path.is_file():
        return []
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        found = [Location(name=str(entry["name"]), uri=str(entry["uri"])) for entry in tree.get("attached", [])]
    except (ValueError, KeyError, TypeError) as problem:
        raise LedgerError(
            f"{path} could not be read as the list of attached ledgers ({problem}). Every entry is [[attached]] with "
            f"name and uri; mend it, or remove the file and attach anew."
        ) from problem
    for location in found:
        _check_name(location.name, found)
    return found


def attach(store: Path, uri: str, name: str = "") -> tuple[Location, list[Source]]:
    """Remember a location, and what it holds now; nothing is remembered where that cannot be read.

    ``name`` is its own when empty: a folder's, a file's, the last part of a URI. Attached again under the same
    name, it is only looked at again. Raises LedgerError or StoreError.
    """
    full = require_uri(uri) if is_bucket(uri) else str(Path(require_uri(uri)).expanduser().resolve())
    if not is_bucket(uri) and Path(full) == store.resolve():
        raise LedgerError(f"{uri} is the project itself ({store}), and its runs are read anyway. Attach another one.")
    location = Location(name=name or _name_of(full), uri=full)
    known = locations(store)
    _check_name(location.name, [*known, location] if location not in known else known)
    found = sources_of(store, location)
    runs_of(found)  # each is a ledger that can be read
    _check_not_read_already(store, location, found)
    if location not in known:
        store.mkdir(parents=True, exist_ok=True)
        _write(store, [*known, location])
    return location, found


def detach(store: Path, name_or_uri: str) -> Location:
    """Forget a location and what was fetched of it; the location itself is not touched. Raises LedgerError."""
    known = locations(store)
    full = name_or_uri if is_bucket(name_or_uri) else str(Path(name_or_uri).expanduser().resolve())
    found = next((p for p in known if name_or_uri == p.name or full.rstrip("/") == p.uri), None)
    if found is None:
        there = ", ".join(f"{p.name} ({p.uri})" for p in known) or "nothing"
        raise LedgerError(f"{name_or_uri!r} is not attached to {store}; attached is: {there}.")
    _write(store, [p for p in known if p != found])
    shutil.rmtree(store / CACHE / found.name, ignore_errors=True)
    return found


def attached_sources(store: Path, *, refresh: bool = True) -> list[Source]:
    """The ledger files of all attached locations; those of a bucket fetched where they have changed.

    Without ``refresh`` nothing is asked of a network and what is not there is left out, so that a run that writes its
    init script never waits or fails for a location of somebody else's. With it, a missing location is a LedgerError: an
    answer over fewer runs than were asked for would look like an answer.
    """
    found: list[Source] = []
    try:
        known = locations(store)
    except LedgerError as problem:
        if refresh:
            raise
        log.warning("%s", problem)
        return []
    for location in known:
        try:
            found += sources_of(store, location, refresh=refresh)
        except (LedgerError, StoreError, OSError) as problem:
            if refresh:
                raise LedgerError(
                    f"The attached location {location.name!r} ({location.uri}) cannot be read: {problem} Bring it "
                    f"back, or leave it out with `relift ledger detach {location.name}`."
                ) from problem
    return found


def sources_of(store: Path, location: Location, *, refresh: bool = True) -> list[Source]:
    """Its ledger files. Raises LedgerError where it holds none, StoreError where it is not read."""
    cache = store / CACHE / location.name
    root = _fetched(location.uri, cache, refresh) if is_bucket(location.uri) else Path(location.uri)
    files = _ledger_files(root, cache)
    if not files:
        raise LedgerError(
            f"{location.uri} holds no ledger: neither <run>/{SNAPSHOT}, nor {SNAPSHOT} or {parquet.MARKER} of its own. "
            f"Give a folder of runs, a run, a ledger file, or what `relift ledger export --format parquet` wrote."
        )
    return [
        Source(path=path, alias=f"at_{location.name}_{number}", prefix=f"{location.name}/")
        for number, path in enumerate(files)
    ]


def _ledger_files(root: Path, cache: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if (root / SNAPSHOT).is_file():
        return [root / SNAPSHOT]
    if (root / parquet.MARKER).is_file():
        return [_converted(root, cache / LEDGER)]
    return snapshots(root)


def _converted(folder: Path, target: Path) -> Path:
    """The Parquet ledger as a ledger file, made again when the files have changed."""
    stamp = target.with_name("converted.json")
    files = sorted(folder.glob("*.parquet"))
    now = json.dumps([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files])
    if not target.is_file() or not stamp.is_file() or stamp.read_text() != now:
        parquet.read_ledger(folder, target)
        stamp.write_text(now)
    return target


def _fetched(uri: str, cache: Path, refresh: bool) -> Path:
    """What a bucket holds, as a folder or file of this machine; the copy of last time where it cannot be reached."""
    copy = cache / "bucket" / (uri.rpartition("/")[2] if uri.endswith(".duckdb") else "")
    if not refresh:
        return copy
    try:
        _fetch(uri, copy)
    except StoreError as problem:
        if not copy.exists():
            raise
        log.warning("%s; what was fetched of it before is read", problem)
    return copy


def _fetch(uri: str, copy: Path) -> None:
    from relift.store.bucket import Bucket
    from relift.store.snapshots import fetch_object, refresh_runs

    if uri.endswith(".duckdb"):
        parent, _, name = uri.rpartition("/")
        fetch_object(Bucket(parent), name, copy)
        return
    bucket = Bucket(uri)
    tops = [name for name in bucket.names() if "/" not in name]
    wanted = [SNAPSHOT] if SNAPSHOT in tops else [n for n in tops if n.endswith(".parquet") and parquet.MARKER in tops]
    if not wanted:
        refresh_runs(bucket, copy)
    for name in wanted:
        fetch_object(bucket, name, copy / name)


def runs_of(sources: Iterable[Source]) -> list[str]:
    """The runs in some ledger files, as the project calls them. Raises LedgerError for a file that is no ledger."""
    found: set[str] = set()
    listed = list(sources)
    with schema.reading({source.alias: source.path for source in listed}) as connection:
        for source in listed:
            with schema.damage_reported(source.path):
                migrate.read_as_todays(connection, source.path, source.alias)
                rows = connection.execute(f"SELECT run FROM {quoted(source.alias)}.runs").fetchall()
            found.update(f"{source.prefix}{run}" for (run,) in rows)
    return sorted(found)


def _check_not_read_already(store: Path, location: Location, found: Iterable[Source]) -> None:
    """A file can be opened once only, and its rows would count twice."""
    others: list[Path] = []
    for other in locations(store):
        with suppress(LedgerError, StoreError, OSError):  # one that is gone is read by nobody
            others += [source.path for source in sources_of(store, other, refresh=False)] if other != location else []
    read = {path.resolve() for path in (*snapshots(store), *others)}
    twice = next((source.path for source in found if source.path.resolve() in read), None)
    if twice is not None:
        raise LedgerError(
            f"{twice} is read already, and its rows would count twice. Attach what is not in the project."
        )


def _check_name(name: str, among: list[Location]) -> None:
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise LedgerError(
            f"{name!r} cannot be the name of a location: letters, digits, '.', '_' and '-' make one, since its "
            f"runs are called NAME/RUN. Give another with --as."
        )
    others = [location.uri for location in among if location.name == name]
    if len(others) > 1:
        raise LedgerError(
            f"{name!r} names {others[0]} already, and its runs could not be told from those of {others[1]}. Give the "
            f"other location a name of its own with --as, or detach the first: `relift ledger detach {name}`."
        )


def _name_of(uri: str) -> str:
    """Of ``runs`` or a snapshot, which every project calls the same, the folder around it."""
    parts = [part for part in uri.removeprefix("s3://").split("/") if part]
    while len(parts) > 1 and parts[-1] in ("runs", SNAPSHOT, LEDGER):
        parts.pop()
    return re.sub(r"[^\w.-]", "_", parts[-1].removesuffix(".duckdb") if parts else "").lstrip(".")


def _write(store: Path, attached: list[Location]) -> None:
    # A JSON string is a TOML string too: both escape the quote, the backslash and control characters alike.
    entries = "".join(
        f"\n[[attached]]\nname = {json.dumps(location.name)}\nuri = {json.dumps(location.uri, ensure_ascii=False)}\n"
        for location in attached
    )
    partial = store / f"{FILE}.partial"
    partial.write_text(_HEAD + entries, encoding="utf-8")
    partial.replace(store / FILE)
