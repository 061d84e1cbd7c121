"""A web page in a browser on the machine of `relift serve`: it makes nothing and reads nothing.

In a headless Chromium where there is one; and the same requests as a browser would send them, in any case.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.prefect.serving import Api, Served, free_port, serve, wait_for
from tests.report import headless

SCRIPT = (Path(__file__).parent / "page.js").read_text()
REBOUND = "rebound.example"
"""A name that the browser is told to find at 127.0.0.1, as its owner's name server would tell it."""
SENT = {"simple", "credentials", "beacon", "form"}
"""A page is never told what became of these; whether they made something is asked of the server."""
MADE = ("flows", "deployments", "flow_runs", "work_pools", "variables", "block_documents", "automations")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = serve(tmp_path_factory.mktemp("project"), free_port())
    try:
        yield running
    finally:
        running.stop()
        assert not running.command.living()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """Port of another server of this machine, whose page runs the script."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = f"<!doctype html><title>a page</title><body><script>{SCRIPT}</script>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[headless.Browser]:
    if headless.executable() is None:
        pytest.skip("there is no Chromium on this machine: the same requests are sent without one below")
    rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
    with headless.chromium(tmp_path_factory.mktemp("profile"), rules) as found:
        yield found


def made(api: Api) -> dict[str, int]:
    """How many there are of everything that a stranger might make; the server itself makes the schedules' next runs."""
    found = {what: api.call("POST", f"/{what}/filter", {}) for what in MADE}
    return {what: sum(not each.get("auto_scheduled", False) for each in those) for what, those in found.items()}


def visit(browser: headless.Browser, url: str) -> None:
    browser.command("Page.navigate", url=url)
    browser.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")


def run(browser: headless.Browser, expression: str) -> dict[str, str]:
    found: dict[str, str] = browser.ask(f"(async () => {{ {SCRIPT}; return {expression}; }})()")
    return found


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_makes_nothing_and_reads_nothing(
    served: Served, elsewhere: int, browser: headless.Browser, tmp_path: Path, name: str
) -> None:
    before = made(served.api)
    visit(browser, f"http://{name}:{elsewhere}/")
    for host in ("127.0.0.1", "localhost"):
        base = f"http://{host}:{served.port}"
        told = run(browser, f"await attack({json.dumps(base)}, 'stranger', 'touch {tmp_path}/made')")
        assert {what: said for what, said in told.items() if what not in SENT} == {
            what: "refused" for what in told if what not in SENT
        }
        assert set(told) >= SENT
    assert made(served.api) == before
    assert not list(tmp_path.iterdir())


def test_a_page_whose_name_is_pointed_at_the_server_afterwards_is_no_page_of_its_own(
    served: Served, browser: headless.Browser, tmp_path: Path
) -> None:
    before = made(served.api)
    visit(browser, f"http://{REBOUND}:{served.port}/")
    assert browser.ask("location.origin") == f"http://{REBOUND}:{served.port}"
    told = run(browser, f"await attack(location.origin, 'rebound', 'touch {tmp_path}/made')")
    reads = {what: said for what, said in told.items() if what.startswith("read")}
    assert len(reads) == 4 and all("does not go by that name" in said for said in reads.values())
    assert {told[what] for what in ("deployment", "guessed key", "events out", "events in", "logs out")} == {"refused"}
    assert made(served.api) == before
    assert not list(tmp_path.iterdir())


def test_the_servers_own_page_with_the_key_does_what_the_others_could_not(
    served: Served, browser: headless.Browser, tmp_path: Path
) -> None:
    """That the requests above are good ones: what refuses them is who sends them."""
    visit(browser, f"http://127.0.0.1:{served.port}/")
    mark = tmp_path / "made"
    key = json.dumps(served.api.key)
    assert run(browser, f"await makeDeployment('', 'own', 'touch {mark}', await ownHeaders({key}))")
    wait_for(mark.exists, 60)


def test_the_ui_asks_for_the_key_and_lets_in_who_has_it(served: Served, browser: headless.Browser) -> None:
    visit(browser, f"http://127.0.0.1:{served.port}/")
    browser.until("location.pathname === '/login' && document.querySelector('input[type=password]') !== null")
    browser.ask("document.querySelector('input[type=password]').focus()")
    browser.command("Input.insertText", text=served.api.key)
    browser.key("Enter")
    browser.until("location.pathname !== '/login'")
    visit(browser, f"http://127.0.0.1:{served.port}/deployments")
    browser.until("['train', 'harvest', 'evaluate'].every((name) => document.body.innerText.includes(name))")


def ask(port: int, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """(status, headers, text) of one request with exactly these headers; JSON is what a POST carries."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        body = json.dumps({"name": "stranger"}).encode() if method == "POST" else b""
        for name, value in {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", "http://localhost:9"])
def test_what_a_page_sends_is_refused_by_its_origin_whatever_it_is(served: Served, origin: str) -> None:
    before = made(served.api)
    key = {"Authorization": "Basic " + base64.b64encode(served.api.key.encode()).decode()}
    for content in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        for more in ({}, key):  # a key that it should have come by is of no use to it
            status, headers, _ = ask(served.port, "POST", "/api/flows/", Origin=origin, Content_Type=content, **more)
            assert status == 403
            assert "access-control-allow-origin" not in headers
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type,authorization"}
    status, headers, _ = ask(served.port, "OPTIONS", "/api/flows/", Origin=origin, **asked)
    assert status == 403 and "access-control-allow-origin" not in headers
    assert made(served.api) == before


def test_a_websocket_that_a_page_opens_is_refused_before_it_is_one(served: Served) -> None:
    shake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    shake |= {"Sec_WebSocket_Key": base64.b64encode(b"0123456789abcdef").decode(), "Sec_WebSocket_Protocol": "prefect"}
    for path in ("/api/events/in", "/api/events/out", "/api/logs/out", "/api/work_pools/cpu/workers/connect"):
        status, _, _ = ask(served.port, "GET", path, Origin="http://evil.example", **shake)
        assert status == 403, path
        assert ask(served.port, "GET", path, Host="evil.example", **shake)[0] == 403, path
        assert ask(served.port, "GET", path, **shake)[0] == 101, "without an origin it is a program, asked for its key"


def test_a_name_that_is_not_the_servers_is_refused_for_every_path(served: Served) -> None:
    for path in ("/", "/ui-settings", "/openapi.json", "/api/health", "/api/version", "/api/docs", "/assets/x.js"):
        for host in (f"{REBOUND}:{served.port}", "127.0.0.1.evil.example", f"10.0.0.7:{served.port}"):
            status, _, said = ask(served.port, "GET", path, Host=host)
            assert status == 403 and "does not go by that name" in said, (path, host)


def test_a_program_of_this_machine_without_the_key_is_refused(served: Served) -> None:
    before = made(served.api)
    for path in (
        "/api/version",
        "/api/deployments/name/train/train",
        "/api/csrf-token?client=c",
        "/api/admin/settings",
    ):
        assert ask(served.port, "GET", path)[0] == 401, path
        guess = base64.b64encode(b"admin:pass").decode()
        assert ask(served.port, "GET", path, Authorization=f"Basic {guess}")[0] == 401, path
    key = base64.b64encode(served.api.key.encode()).decode()
    status, _, said = ask(
        served.port, "POST", "/api/flows/", Authorization=f"Basic {key}", Content_Type="application/json"
    )
    assert (status, said) == (403, '{"detail":"Missing CSRF token."}')
    assert ask(served.port, "POST", "/api/flows/", Content_Type="application/json")[0] in (401, 403)
    assert made(served.api) == before


def test_no_page_shows_the_ui_in_a_frame(served: Served) -> None:
    for path in ("/", "/login", "/ui-settings", "/api/health"):
        assert ask(served.port, "GET", path)[1]["content-security-policy"] == "frame-ancestors 'self'", path


def test_the_key_is_printed_nowhere_and_readable_by_its_user_alone(served: Served) -> None:
    files = [path for path in served.folder.rglob("*") if path.is_file()]
    holding = [path.relative_to(served.folder) for path in files if served.api.key.encode() in path.read_bytes()]
    assert [str(path) for path in holding] == [".prefect/key"]
    assert (served.folder / ".prefect" / "key").stat().st_mode & 0o077 == 0
    assert "in .prefect/key: the UI asks for it" in (served.folder / "serve.out").read_text()
