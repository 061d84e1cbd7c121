"""Who may speak to a server that relift starts: what it is told of keys and names, and what it does not answer."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from flows.server.protection import (
    CLIENT_KEY,
    ORIGINS,
    ORIGINS_TOO,
    SERVER_KEY,
    given_key,
    own_key,
    protected,
    require_own_key,
)
from flows.server.server_child import Message, OwnPagesOnly, Receive, Send
from relift.errors import RunError

PORT = 4200


def guard(host: str = "127.0.0.1", **environment: str) -> OwnPagesOnly:
    """As a server that listens on ``host`` has it."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "answered"})

    told = protected(environment, key="relift:k", host=host, port=PORT)
    return OwnPagesOnly(app, host=host, origins=told[ORIGINS].split(","))


def answer(guard: OwnPagesOnly, *headers: tuple[str, str], kind: str = "http") -> object:
    """True when the server itself answers, else what it is refused with."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing of a request that is refused is read")

    scope = {"type": kind, "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers]}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["type"] == "answered" or sent[0].get("status", sent[0].get("code"))


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "LOCALHOST", "[::1]:4200", "localhost:8080"])
def test_a_server_of_this_machine_goes_by_its_names_through_tunnels_too(host: str) -> None:
    assert answer(guard(), ("host", host)) is True
    assert answer(guard(), ("host", host), ("origin", f"http://{host}")) is True
    assert answer(guard(), ("host", host), ("origin", f"http://{host}"), kind="websocket") is True


@pytest.mark.parametrize(
    "host", ["evil.example:4200", "evil.example", "127.0.0.1.evil.example", "10.0.0.7:4200", "", "a@localhost", "::1"]
)
def test_any_other_name_is_refused_for_pages_and_for_websockets(host: str) -> None:
    assert answer(guard(), ("host", host)) == 403
    assert answer(guard(), ("host", host), ("origin", f"http://{host}")) == 403
    assert answer(guard(), ("host", host), kind="websocket") == 1008


def test_a_request_without_a_name_or_with_two_is_refused() -> None:
    assert answer(guard()) == 403
    assert answer(guard(), ("host", "localhost:4200"), ("host", "evil.example")) == 403


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "*", "file://", "http://localhost:9", "http://127.0.0.1", "https://localhost"),
        *("http://localhost:4200.evil.example", "http://localhost:4200@evil.example", "http://evil.example:4200"),
    ],
)
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    for kind, refused in (("http", 403), ("websocket", 1008)):
        assert answer(guard(), ("host", "localhost:4200"), ("origin", origin), kind=kind) == refused
        assert answer(guard("0.0.0.0"), ("host", "10.0.0.7:4200"), ("origin", origin), kind=kind) == refused


def test_from_other_machines_it_goes_by_any_address_and_by_the_names_it_is_given() -> None:
    wide = guard("0.0.0.0", **{ORIGINS_TOO: "https://prefect.example.org/, http://gpu-1:4200"})
    for host in ("10.0.0.7:4200", "[fd00::7]:4200", "prefect.example.org", "gpu-1:4200", "localhost:4200"):
        assert answer(wide, ("host", host)) is True
    assert answer(wide, ("host", "prefect.example.org"), ("origin", "https://prefect.example.org")) is True
    assert answer(wide, ("host", "evil.example:4200")) == 403
    assert answer(guard("gpu-1.lab"), ("host", "gpu-1.lab:4200")) is True


@pytest.mark.parametrize("origin", ["*", "evil", "http://", "http://a/b", "http://u:p@a", "http://a:none", "null"])
def test_an_origin_that_is_none_is_refused_by_name_and_so_is_every_page(origin: str) -> None:
    for name in (ORIGINS, ORIGINS_TOO):
        with pytest.raises(RunError, match=r"no origin.*https://prefect\.example\.org") as refused:
            protected({name: f"http://gpu-1:4200,{origin}"}, key="relift:k", host="127.0.0.1", port=PORT)
        assert ("let every web page in" in str(refused.value)) == (origin == "*")


def test_a_server_is_told_its_key_its_origins_and_to_refuse_forged_requests_whatever_the_user_has_set() -> None:
    weak = {"PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "false", SERVER_KEY: "x"}
    told = protected(weak, key="relift:k", host="127.0.0.1", port=PORT)
    assert told == {
        SERVER_KEY: "relift:k",
        CLIENT_KEY: "relift:k",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        ORIGINS: "http://127.0.0.1:4200,http://localhost:4200,http://[::1]:4200",
    }


def test_a_key_is_made_once_however_many_start_at_once_and_only_its_user_reads_it(tmp_path: Path) -> None:
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(own_key(tmp_path / "key"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8 and len(set(keys)) == 1 and len(keys[0]) > 40
    (tmp_path / "key").chmod(0o644)
    assert own_key(tmp_path / "key") == keys[0]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert own_key(tmp_path / "another") != keys[0]


def test_a_key_file_that_cannot_be_used_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(RunError, match=r"cannot be read or made.*Remove it"):
        own_key(tmp_path / "key")
    (tmp_path / "odd").write_text("schlüssel\n")
    with pytest.raises(RunError, match="other than printable ASCII"):
        own_key(tmp_path / "odd")
    with pytest.raises(RunError, match=SERVER_KEY):
        given_key({SERVER_KEY: "two\nlines of a key"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "gpu-1"])
def test_a_server_that_others_reach_asks_for_a_key_of_ones_own(host: str) -> None:
    for environment in ({}, {SERVER_KEY: ""}, {SERVER_KEY: "admin:pass"}, {CLIENT_KEY: "k" * 40}):
        with pytest.raises(RunError, match=f"(?s)--host {host}.*at least 16.*export {SERVER_KEY}=") as refused:
            require_own_key(host, environment)
        assert "admin:pass" not in str(refused.value)
    require_own_key(host, {SERVER_KEY: "relift:0123456789"})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_a_server_of_this_machine_alone_makes_its_key(host: str) -> None:
    require_own_key(host, {})


def test_nothing_of_this_is_read_by_the_other_users_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.server.embedded import HOME, make_home

    monkeypatch.chdir(tmp_path)
    os.mkdir(HOME, mode=0o755)  # noqa: PTH102 - as an earlier version left it
    make_home()
    assert stat.S_IMODE(HOME.stat().st_mode) == 0o700
