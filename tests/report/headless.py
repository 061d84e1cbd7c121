"""A real headless Chromium, driven through its debugging port: pages loaded, scripts asked, pictures taken."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def executable() -> str | None:
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


class Browser:
    """One page. What it asked of a network and what its console said is kept."""

    def __init__(self, socket: Any, runner: asyncio.Runner) -> None:
        self._socket = socket
        self._runner = runner
        self._number = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._runner.run(self._command(method, parameters))

    def load(
        self, page: Path, *, fragment: str = "", width: int = 1200, height: int = 900, scheme: str = "light"
    ) -> None:
        """Open the page and wait until its script has drawn."""
        self.complaints.clear()
        self.requests.clear()
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )
        self.command("Page.navigate", url="about:blank")
        self.command("Page.navigate", url=page.resolve().as_uri() + fragment)
        self.until("document.readyState === 'complete'")

    def until(self, expression: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.ask(expression):
            assert time.monotonic() < deadline, f"{expression} did not come true in {seconds:g} s"
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        found = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            code = {"Enter": 13, "ArrowDown": 40, "ArrowUp": 38, "/": 191}.get(key, 0)
            self.command("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    async def _command(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(await self._socket.recv())
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told.get('error')}"
                return dict(told["result"])
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        what = told.get("params", {})
        match told.get("method"):
            case "Log.entryAdded":
                self.complaints.append(what["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(what["exceptionDetails"]))
            case "Network.requestWillBeSent":
                self.requests.append(what["request"]["url"])


@contextmanager
def chromium(profile: Path, *flags: str) -> Iterator[Browser]:
    """A browser with an empty profile in that folder; it and its children are gone at the end."""
    import websockets

    path = executable()
    assert path is not None
    process = subprocess.Popen(
        [path, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with asyncio.Runner() as runner:
            address = _page_address(profile / "DevToolsActivePort", process)
            socket = runner.run(_connect(websockets, address))
            browser = Browser(socket, runner)
            for domain in ("Page", "Runtime", "Log", "Network"):
                browser.command(f"{domain}.enable")
            yield browser
            runner.run(socket.close())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _connect(websockets: Any, address: str) -> Any:
    return await websockets.connect(address, max_size=1 << 27, proxy=None)


def _page_address(port_file: Path, process: subprocess.Popen[bytes]) -> str:
    import http.client

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.is_file() and port_file.read_text().count("\n"):
            connection = http.client.HTTPConnection("127.0.0.1", int(port_file.read_text().split()[0]), timeout=10)
            try:
                connection.request("GET", "/json")
                tabs = json.loads(connection.getresponse().read())
            finally:
                connection.close()
            pages = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
            if pages:
                return str(pages[0])
        time.sleep(0.1)
    raise AssertionError("Chromium did not open its debugging port")
