"""The Prefect server of an embedded run: a child that ends when its parent does, however the parent ended.

Started by ``embedded.py`` as ``python -m flows.server.server_child HOST PORT`` with a pipe as standard input that
nobody writes to: the pipe's end is the parent's end, on every platform and also after kill -9.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from pathlib import Path
from typing import Any

from flows.server.protection import ORIGINS, ORIGINS_TOO, as_address, host_and_port, is_loopback

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class OneStartAtATime:
    """Lets a server make or bring up to date the database of its home while no other one does, however many begin."""

    def __init__(self, app: App, lock: Path) -> None:
        self.app = app
        self.lock = lock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        with self.lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

            async def sending(message: Message) -> None:
                if message["type"].startswith("lifespan.startup."):
                    file.close()
                await send(message)

            await self.app(scope, receive, sending)


class OwnPagesOnly:
    """Refuses requests under names that are not this server's, and those that a page of another origin sends.

    The first is how a page whose name is pointed at 127.0.0.1 afterwards would become this server's own (DNS
    rebinding). An address cannot be pointed elsewhere: where other machines reach the server, any of them is taken.
    The port is not looked at, since a tunnel has one of its own. Websockets too, which browsers open to anywhere.
    """

    def __init__(self, app: App, *, host: str, origins: Collection[str]) -> None:
        self.app = app
        self.takes_addresses = not is_loopback(host)
        self.addresses = {address for origin in origins if (address := host_and_port(origin))}
        self.names = {name for name, _ in self.addresses}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif not (why := self.refusal(scope["headers"])):
            await self.app(scope, receive, _without_frames(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": why[:100]})
        else:
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps({"detail": why}).encode()})

    def refusal(self, headers: Collection[tuple[bytes, bytes]]) -> str:
        """Why a request with these headers is not answered; empty for one that is."""
        hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
        address = host_and_port(f"http://{hosts[0]}") if len(hosts) == 1 else None
        if address is None or not (address[0] in self.names or (self.takes_addresses and as_address(address[0]))):
            return f"this server does not go by that name; {ORIGINS_TOO}=http://NAME:PORT gives it one"
        for name, value in headers:
            if name == b"origin" and not self._is_own(value.decode("latin-1").lower(), hosts[0]):
                return f"pages of other origins may not use this server; {ORIGINS_TOO} names those that may"
        return ""

    def _is_own(self, origin: str, host: str) -> bool:
        address = host_and_port(origin)
        scheme = origin.partition("://")[0]
        return address is not None and (address in self.addresses or address == host_and_port(f"{scheme}://{host}"))


def _without_frames(send: Send) -> Send:
    """A page that shows the UI in a frame could have its visitor click there."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            header = (b"content-security-policy", b"frame-ancestors 'self'")
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    return sending


def _end_with_parent() -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock would be held when the interpreter ends
        pass
    os._exit(0)


def main(host: str, port: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    app = OneStartAtATime(create_app(), Path(os.environ["PREFECT_HOME"]) / "start.lock")
    uvicorn.run(
        OwnPagesOnly(app, host=host, origins=os.environ[ORIGINS].split(",")),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
