"""Which Prefect server a command uses: the one it is told of, the one that serves this folder, or one of its own."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.cli.run import train_command
from flows.server.address import LOCALHOST, api_url
from flows.server.embedded import HOME, HOME_LOCK, KEY, SERVED, PrefectServer, Served, locked
from flows.server.protection import CLIENT_KEY, ORIGINS_TOO, authorization
from relift.errors import ConfigError, RunError
from relift.policy import vllm_install
from tests.small_run import SETTINGS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project's folder; what a server sets in the environment is undone."""
    before = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def listening(banner: bytes) -> Iterator[int]:
    """A port where something says that to whoever comes, as an SSH server does."""
    with socket.create_server((LOCALHOST, 0)) as server:

        def greet() -> None:
            while True:
                try:
                    visitor, _ = server.accept()
                except OSError:
                    return
                with visitor:
                    visitor.sendall(banner)

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def unused_port() -> int:
    with socket.create_server((LOCALHOST, 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_port_where_something_speaks_another_language_is_refused_with_what_to_do() -> None:
    with listening(b"SSH-2.0-OpenSSH_9.9\r\n") as port:
        with pytest.raises(RunError, match=rf"port {port} of 127\.0\.0\.1.*something else listens there.*--port"):
            PrefectServer(port=port).start()
        os.environ["PREFECT_API_URL"] = f"http://{LOCALHOST}:{port}/api"
        with pytest.raises(RunError, match="no Prefect server answers"):
            PrefectServer().start()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "x" * 70])
def test_a_host_that_is_not_this_machine_is_said_and_not_called_a_port_in_use(host: str) -> None:
    with pytest.raises(RunError, match=f"--host {host}: the Prefect server cannot listen there") as refused:
        PrefectServer(host=host, port=unused_port()).start()
    assert "listens there" not in str(refused.value).replace("cannot listen there", "")
    assert "0.0.0.0" in str(refused.value)


def test_serving_other_machines_without_a_key_of_ones_own_is_refused_before_anything_listens() -> None:
    port = unused_port()
    with pytest.raises(RunError, match=r"--host 0\.0\.0\.0 lets other machines reach.*at least 16 characters"):
        PrefectServer(host="0.0.0.0", port=port).start()
    with socket.create_server((LOCALHOST, port)):
        pass
    assert not (HOME / "key").exists()


def test_a_password_in_the_api_url_is_refused_and_not_shown() -> None:
    for url in ("http://me:secret@127.0.0.1:9/api", "http://me:se/secret@127.0.0.1:9/api", "me:secret@127.0.0.1/api"):
        os.environ["PREFECT_API_URL"] = url
        with pytest.raises(RunError, match=r"PREFECT_API_URL=.*\*\*\*@127\.0\.0\.1") as refused:
            PrefectServer().start()
        assert "secret" not in str(refused.value)


@contextmanager
def guarded(status_by_path: dict[str, int]) -> Iterator[str]:
    """URL of an API that answers so."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.headers.get("Authorization") == authorization("relift:right")["Authorization"]
            self.send_response(200 if is_known else status_by_path[self.path])
            self.end_headers()
            self.wfile.write(f"{ORIGINS_TOO}=http://NAME:PORT".encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer((LOCALHOST, 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://{LOCALHOST}:{server.server_address[1]}/api"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_asks_for_a_key_is_said_before_anything_starts_and_one_that_is_right_is_enough() -> None:
    with guarded({"/api/health": 200, "/api/version": 401}) as url:
        os.environ["PREFECT_API_URL"] = url
        with pytest.raises(RunError, match=rf"asks for a key\. Set {CLIENT_KEY}.*\.prefect/key"):
            PrefectServer().start()
        os.environ[CLIENT_KEY] = "relift:wrong"
        with pytest.raises(RunError, match=f"refuses that in {CLIENT_KEY}") as refused:
            PrefectServer().start()
        assert "relift:wrong" not in str(refused.value)
        os.environ[CLIENT_KEY] = "relift:right"
        PrefectServer().start()


def test_a_server_that_does_not_go_by_the_name_it_is_asked_under_is_said() -> None:
    with guarded({"/api/health": 403, "/api/version": 403}) as url:
        os.environ["PREFECT_API_URL"] = url
        with pytest.raises(RunError, match=rf"goes by that name.*{ORIGINS_TOO}=http://127"):
            PrefectServer().start()


def test_a_server_of_this_folder_with_a_key_of_the_users_own_asks_for_it_before_anything_starts() -> None:
    HOME.mkdir()
    with guarded({"/api/health": 200, "/api/version": 401}) as url:
        serves = locked(SERVED, fcntl.LOCK_EX)
        assert serves is not None
        with serves:
            Served(url=url).write()
            with pytest.raises(RunError, match=f"asks for a key.*{CLIENT_KEY}"):
                PrefectServer().start()


def test_the_key_of_this_folders_server_is_found_whether_or_not_its_url_was_given() -> None:
    HOME.mkdir()
    KEY.write_text("relift:right\n")
    with guarded({"/api/health": 200, "/api/version": 401}) as url:
        serves = locked(SERVED, fcntl.LOCK_EX)
        assert serves is not None
        with serves:
            Served(url=url, key_file=str(KEY)).write()
            for given in (url, ""):
                os.environ.pop(CLIENT_KEY, None)
                os.environ["PREFECT_API_URL"] = given
                server = PrefectServer()
                server.start()
                server.wait()
                assert (os.environ["PREFECT_API_URL"], os.environ[CLIENT_KEY]) == (url, "relift:right")


@pytest.mark.parametrize("url", ["localhost:4200/api", "4200", "http://", "http://host:none/api", "ftp://host/api"])
def test_an_api_url_that_is_none_is_refused_with_an_example(url: str) -> None:
    os.environ["PREFECT_API_URL"] = url
    with pytest.raises(RunError, match=r"is no URL of a Prefect server's API.*http://127\.0\.0\.1:4200/api.*unset"):
        PrefectServer().start()


def test_an_api_url_that_no_request_can_be_made_of_is_refused_like_a_server_that_is_not_there() -> None:
    os.environ["PREFECT_API_URL"] = f"http://{LOCALHOST}:{unused_port()}/ api"
    with pytest.raises(RunError, match="no Prefect server answers"):
        PrefectServer().start()


def test_the_url_is_made_of_the_host_unless_that_means_all_of_them() -> None:
    hosts = ("127.0.0.1", "10.0.0.7", "gpu-1", "::1", "0.0.0.0", "::")
    names = ("127.0.0.1", "10.0.0.7", "gpu-1", "[::1]", "127.0.0.1", "[::1]")
    assert [api_url(host, 4200) for host in hosts] == [f"http://{name}:4200/api" for name in names]


def test_whatever_is_started_gives_a_sign_of_life_more_often_than_prefect_does() -> None:
    os.environ["PREFECT_API_URL"] = f"http://{LOCALHOST}:{unused_port()}/api"
    with pytest.raises(RunError):
        PrefectServer().start()
    assert os.environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def test_serving_is_refused_while_a_run_has_a_server_on_the_same_database() -> None:
    run, another, serve = PrefectServer(), PrefectServer(), PrefectServer(port=unused_port())
    run.start()
    os.environ.pop("PREFECT_API_URL")
    another.start()  # as two runs may
    os.environ.pop("PREFECT_API_URL")
    try:
        with pytest.raises(RunError, match=r"a run in this folder has started a Prefect server.*Ctrl-C"):
            serve.start()
    finally:
        another.stop()
        run.stop()
    alone = locked(HOME_LOCK, fcntl.LOCK_EX)
    assert alone is not None, "a server that was stopped still holds its home"
    alone.close()


def test_a_run_waits_for_the_server_that_is_just_being_started_and_uses_it() -> None:
    HOME.mkdir()
    serves, home = locked(SERVED, fcntl.LOCK_EX), locked(HOME_LOCK, fcntl.LOCK_EX)
    assert serves is not None and home is not None

    def say() -> None:
        time.sleep(0.5)
        Served(url="http://127.0.0.1:4999/api").write()

    starting = threading.Thread(target=say)
    starting.start()
    run = PrefectServer()
    with serves, home:
        run.start()
    starting.join()
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4999/api"
    assert run._child is None, "a second server was started on the same database"


def test_an_unreachable_server_is_said_before_a_model_is_loaded_or_an_old_run_removed(folder: Path) -> None:
    old = folder / "runs" / "small" / "run.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    os.environ["PREFECT_API_URL"] = f"http://{LOCALHOST}:{unused_port()}/api"
    for name, fresh in (("new", False), ("small", True)):
        with pytest.raises(RunError, match="no Prefect server answers"):
            train_command("demo", [*SETTINGS, "store=runs"], name, fresh)
    assert old.exists()
    assert not (folder / "runs" / "new").exists()


def test_a_missing_engine_is_said_before_an_old_run_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_install, "installed", lambda: ("", ""))
    old = folder / "runs" / "small" / "run.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    with pytest.raises(ConfigError, match="vLLM is not installed"):
        train_command("demo", [*SETTINGS, "store=runs", "rollout.engine=vllm"], "small", fresh=True)
    assert old.exists()
