"""Where a Prefect server is: the URL of its API, whether it answers and lets us in, whether a port is free for one."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from flows.server.protection import CLIENT_KEY, ORIGINS_TOO, SERVER_KEY, authorization
from relift.errors import RunError
from relift.urls import shown_url

LOCALHOST = "127.0.0.1"
EVERYWHERE = {"0.0.0.0": LOCALHOST, "::": "::1"}
"""Hosts that are no address to ask, and where a server that listens on them is found on its own machine."""
ANSWER_LIMIT_SECONDS = 10.0
"""For a server that was there: a busy one takes its time, one that is not there refuses at once."""


def api_url(host: str, port: int) -> str:
    """Of the API of a server on this machine that listens on ``host``."""
    name = EVERYWHERE.get(host, host)
    return f"http://[{name}]:{port}/api" if ":" in name else f"http://{name}:{port}/api"


def require_url(text: str) -> None:
    """Raises RunError for what is no URL of an API, or holds a password."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise RunError(
            f"PREFECT_API_URL={shown_url(text)!r} is no URL of a Prefect server's API. Give it as "
            f"http://HOST:PORT/api, such as http://127.0.0.1:4200/api, or unset it: relift then starts a server."
        )
    if "@" in parts.netloc:
        raise RunError(
            f"PREFECT_API_URL={shown_url(text)} holds a user or a password, which logs would show and Prefect's "
            f"websockets do not give. Set {CLIENT_KEY}=USER:PASSWORD instead, and the URL without them."
        )


def require_answer(url: str) -> None:
    """Raises RunError where no Prefect server answers there, or it does not take the key that we have."""
    status, said = _ask(f"{url}/health", ANSWER_LIMIT_SECONDS)
    if status == 403 and ORIGINS_TOO in said:
        raise RunError(
            f"the Prefect server at PREFECT_API_URL={shown_url(url)} is not told that it goes by that name. Use its "
            f"address, or start it with {ORIGINS_TOO}={shown_url(url).removesuffix('/api')}"
        )
    if status != 200:
        raise RunError(
            f"no Prefect server answers at PREFECT_API_URL={shown_url(url)}. Start one with `relift serve` or `prefect "
            f"server start`, correct the variable, or unset it: relift then starts one."
        )
    require_key(url)


def require_key(url: str) -> None:
    """Raises RunError where a server is there and does not take the key that we have, or asks for one."""
    key = os.environ.get(CLIENT_KEY, "")
    is_refused = _ask(f"{url}/version", ANSWER_LIMIT_SECONDS, key)[0] == 401
    if is_refused and not os.environ.get("PREFECT_API_KEY"):  # of Prefect Cloud, and for Prefect to give
        what = f"refuses that in {CLIENT_KEY}" if key else "asks for a key"
        raise RunError(
            f"the Prefect server at {shown_url(url)} {what}. Set {CLIENT_KEY} to the one it was started with "
            f"({SERVER_KEY}); that of a `relift serve` stands in .prefect/key of its folder, readable by its user."
        )


def require_free(host: str, port: int, url: str) -> None:
    """Raises RunError where a server cannot listen on this host and port."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:  # as the server does: beside 0.0.0.0, not instead of it
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except (OSError, UnicodeError) as problem:
        raise RunError(_why_not_free(problem, host, port, url)) from problem


def _why_not_free(problem: OSError | UnicodeError, host: str, port: int, url: str) -> str:
    number = problem.errno if isinstance(problem, OSError) else None
    why = (problem.strerror if isinstance(problem, OSError) else None) or problem
    if number == errno.EADDRINUSE:
        is_prefect = answers(url)
        found = "a Prefect server answers there" if is_prefect else "something else listens there"
        use = f"set PREFECT_API_URL={url} to use it" if is_prefect else "end it"
        return (
            f"port {port} of {host} cannot be used for the Prefect server ({why}; {found}). Choose another one with "
            f"--port, or {use}."
        )
    if number == errno.EACCES:
        return f"port {port} of {host} may not be used by this user ({why}). Choose one above 1023 with --port."
    return (
        f"--host {host}: the Prefect server cannot listen there ({why}). Use 127.0.0.1 for this machine alone, 0.0.0.0 "
        f"for every machine, or an address that this machine has."
    )


def free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
    return port


def answers(url: str) -> bool:
    """Whether a Prefect server's API is there; whatever else listens may say anything."""
    return _ask(f"{url}/health", 2.0)[0] == 200


def listens(url: str) -> bool:
    """Whether anything is there at all, however busy."""
    parts = urlsplit(url)
    try:
        with socket.create_connection(
            (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), 2.0
        ):
            return True
    except OSError as problem:
        return isinstance(problem, TimeoutError)


def _ask(url: str, timeout: float, key: str = "") -> tuple[int, str]:
    """HTTP status, and the beginning of what was said with it; 0 where nothing that speaks HTTP listens."""
    try:
        request = urllib.request.Request(url)
        for name, value in authorization(key).items():
            request.add_unredirected_header(name, value)  # not for whoever the server sends us to
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read(1000).decode(errors="replace")
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read(1000).decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException):
        return 0, ""
