"""Who may speak to a server of ours: holders of its key, under its own names, and of web pages its own alone.

A web page in a browser on this machine can send requests to 127.0.0.1 too, and a deployment is a command that a worker
runs. So there is always a key. Prefect checks it, ``flows.server.server_child`` the names and the pages.
"""

from __future__ import annotations

import base64
import fcntl
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from relift.errors import RunError

SERVER_KEY = "PREFECT_SERVER_API_AUTH_STRING"
"""What a server asks for; set by whoever wants a key of one's own."""
CLIENT_KEY = "PREFECT_API_AUTH_STRING"
"""What the `prefect` command, workers and flow runs give."""
ORIGINS = "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"
ORIGINS_TOO = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
"""Prefect's other name of the same setting, the one that its documentation gives."""
LEAST_KEY_LENGTH = 16
"""Characters of a key that whoever reaches the network may guess at."""


def own_key(path: Path) -> str:
    """The key in this file, made at random where there is none; readable by this user alone. Raises RunError."""
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two first runs at once get one key
            os.fchmod(file.fileno(), 0o600)
            if key := file.read().strip():
                return _checked(key, str(path))
            key = f"relift:{secrets.token_urlsafe(32)}"
            file.write(key + "\n")
            return key
    except OSError as problem:
        raise RunError(
            f"the key of this folder's Prefect server, {path}, cannot be read or made ({problem.strerror}). Remove it "
            f"as the user who owns it, or use another server: set PREFECT_API_URL and {CLIENT_KEY}."
        ) from problem


def given_key(environment: Mapping[str, str]) -> str:
    """The user's own key for a server started here; empty where there is none. Raises RunError."""
    key = environment.get(SERVER_KEY, "")
    return _checked(key, SERVER_KEY) if key else ""


def require_own_key(host: str, environment: Mapping[str, str]) -> None:
    """Raises RunError where other machines can reach the server, and no key was chosen that they could be told."""
    if is_loopback(host) or len(given_key(environment)) >= LEAST_KEY_LENGTH:
        return
    found = (
        f"{SERVER_KEY} has {len(environment[SERVER_KEY])}" if environment.get(SERVER_KEY) else f"no {SERVER_KEY} is set"
    )
    raise RunError(
        f"--host {host} lets other machines reach the Prefect server, and whoever can make a deployment there runs "
        f"commands on its workers. It takes a key of your own of at least {LEAST_KEY_LENGTH} characters; {found}. "
        f"Make one, set it here and give it to the others as {CLIENT_KEY}:\n"
        f"  export {SERVER_KEY}=relift:$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"
    )


def _checked(key: str, where: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise RunError(f"the key in {where} holds characters other than printable ASCII, which no header carries.")
    return key


def protected(environment: Mapping[str, str], *, key: str, host: str, port: int) -> dict[str, str]:
    """Variables of a server that listens there: its key, CSRF protection and its own origins.

    Set over whatever the user's environment, a profile or a file of Prefect's says. Origins that the user has named are
    allowed beside its own, as for a server behind a proxy. Raises RunError for one that is none, and for "*".
    """
    origins = [*own_origins(host, port), *named_origins(environment)]
    return {
        SERVER_KEY: key,
        CLIENT_KEY: key,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        ORIGINS: ",".join(dict.fromkeys(origins)),
    }


def own_origins(host: str, port: int) -> Iterator[str]:
    """Under which pages of this server are opened: on its machine, and from others where they can reach it."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if not is_loopback(host):
        names += [f"[{host}]" if ":" in host else host, socket.gethostname()]
    return (f"http://{name.lower()}:{port}" for name in names)


def named_origins(environment: Mapping[str, str]) -> Iterator[str]:
    """Those of the user's setting. Raises RunError."""
    for origin in (environment.get(ORIGINS) or environment.get(ORIGINS_TOO) or "").split(","):
        given = origin.strip().rstrip("/").lower()
        if given and host_and_port(given) is None:
            raise RunError(
                f"{ORIGINS_TOO} names {origin.strip()!r}, which is no origin"
                f"{' and would let every web page in' if given == '*' else ''}. Give the addresses under which the "
                f"server is opened, such as https://prefect.example.org, separated by commas, or unset it."
            )
        if given:
            yield given


def host_and_port(origin: str) -> tuple[str, int] | None:
    """(host, port) of an origin such as http://127.0.0.1:4200; None for what is none, "null" and "*" among them."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    is_bare = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return (parts.hostname, port) if parts.hostname and port and is_bare else None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    address = as_address(host)
    return address.is_loopback if address else host.lower() == "localhost"


def as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Of a host given as one; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def authorization(key: str) -> dict[str, str]:
    """The header that gives a key; none for an empty one."""
    return {"Authorization": "Basic " + base64.b64encode(key.encode()).decode()} if key else {}
