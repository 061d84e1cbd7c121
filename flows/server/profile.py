"""The Prefect server that the user's own settings of Prefect name, which relift does not use unless it is told to.

Read as Prefect 3.7 does, before Prefect is imported: .env, prefect.toml and pyproject.toml of this folder, then the
active profile. What a run records would otherwise go to a server that somebody once chose for something else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relift.urls import shown_url

SETTING = "PREFECT_API_URL"


def unused_server(environment: Mapping[str, str], *, used: str) -> str:
    """One line about the server that Prefect alone would use here; empty where there is none, or it is the one used."""
    where, url = next(((where, url.rstrip("/")) for where, url in _named(environment) if url), ("", ""))
    if not url or url == used.rstrip("/"):
        return ""
    instead = f", but {shown_url(used)}" if used else ""
    return (
        f"The Prefect server {shown_url(url)}, named by {where}, is not used{instead}. To use it: "
        f"{SETTING}={shown_url(url)}"
    )


def _named(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(where it stands, URL or "") in Prefect's order."""
    yield ".env", _of_dotenv(SETTING)
    yield "prefect.toml", str(_entry(_table(Path("prefect.toml")), "api", "url"))
    yield "pyproject.toml", str(_entry(_table(Path("pyproject.toml")), "tool", "prefect", "api", "url"))
    profiles = _table(_profiles_path(environment))
    active = environment.get("PREFECT_PROFILE") or str(_entry(profiles, "active"))
    yield f"Prefect's profile {active!r}", str(_entry(profiles, "profiles", active, SETTING))


def _profiles_path(environment: Mapping[str, str]) -> Path:
    if given := environment.get("PREFECT_PROFILES_PATH") or _of_dotenv("PREFECT_PROFILES_PATH"):
        return Path(given)
    home = environment.get("PREFECT_HOME") or "~/.prefect"
    return Path(home).expanduser() / "profiles.toml"


def _table(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where there is none that can be read, as Prefect itself will say if it matters."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _entry(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key, "") if isinstance(tree, dict) else ""
    return tree if isinstance(tree, str) else ""


def _of_dotenv(name: str) -> str:
    path = Path(".env")
    if not path.is_file():
        return ""
    from dotenv import dotenv_values  # which Prefect reads it with

    return dotenv_values(path).get(name) or ""
