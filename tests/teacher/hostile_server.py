"""A teacher that does everything but answer: whatever a fault of ``FAULTS`` writes on the wire is what comes.

The question at the start is answered as it should be, so that a run begins. The requests are counted, by their key and
by fault; another server, to which the redirects lead, counts those that follow them.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.teacher.faulty_server import KEY, MODEL, QuietServer, completion

GIB = 1 << 30
CHUNK = b"x" * (1 << 16)
WRONG = "1+1=98765432"
"""A text that no question of ours is answered by; it comes where the fault is not in the text."""
DRIP_SECONDS = 0.05
MOST_DRIPS = 400


class Wire:
    """What a fault may do with a connection."""

    def __init__(self, handler: BaseHTTPRequestHandler, elsewhere: str) -> None:
        self.elsewhere = elsewhere
        """URL of the server that redirects lead to."""
        self._handler = handler

    def raw(self, content: bytes) -> None:
        self._handler.wfile.write(content)

    def body(
        self, content: bytes, *, status: int = 200, length: int | None = None, headers: Sequence[str] = ()
    ) -> None:
        lines = [
            f"HTTP/1.1 {status} Some",
            "Content-Type: application/json",
            f"Content-Length: {len(content) if length is None else length}",
            *headers,
        ]
        self.raw("\r\n".join([*lines, "", ""]).encode() + content)

    def tree(self, tree: Any, **more: Any) -> None:
        self.body(json.dumps(tree).encode(), **more)

    def endless(self, chunk: bytes, total: int) -> None:
        """As much of ``total`` bytes as anybody takes."""
        for _ in range(total // len(chunk)):
            self.raw(chunk)


def chat(content: Any = WRONG, finish_reason: Any = "stop", **more: Any) -> dict[str, Any]:
    return {**completion({"content": content}, finish_reason, tokens=len(WRONG)), **more}


def usage(prompt_tokens: Any, completion_tokens: Any) -> Callable[[Wire], None]:
    found = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return lambda wire: wire.tree(chat(usage=found))


def says(content: bytes, **more: Any) -> Callable[[Wire], None]:
    return lambda wire: wire.body(content, **more)


def _drip_headers(wire: Wire) -> None:
    wire.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    for number in range(MOST_DRIPS):
        wire.raw(b"X-%d: x\r\n" % number)
        time.sleep(DRIP_SECONDS)


def _endless_headers(wire: Wire) -> None:
    wire.raw(b"HTTP/1.1 200 OK\r\n")
    wire.endless(b"X-Long: " + CHUNK + b"\r\n", GIB)


def _drip_body(wire: Wire) -> None:
    content = json.dumps(chat()).encode()
    wire.body(b"", length=len(content) + MOST_DRIPS)
    for _ in range(MOST_DRIPS):
        wire.raw(b" ")
        time.sleep(DRIP_SECONDS)
    wire.raw(content)


def _drip_early_hints(wire: Wire) -> None:
    for _ in range(MOST_DRIPS):
        wire.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        time.sleep(DRIP_SECONDS)


def _chunked(wire: Wire, headers: str = "", packed: bytes = CHUNK, status: int = 200) -> None:
    wire.raw(f"HTTP/1.1 {status} Some\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode())
    wire.endless(b"%x\r\n%s\r\n" % (len(packed), packed), GIB)


def _bomb() -> bytes:
    """A valid answer behind a GiB of blanks, a thousandth of that on the wire."""
    packer = [gzip.compress(b" " * (1 << 24), 9)] * 64
    return b"".join([*packer, gzip.compress(json.dumps(chat()).encode())])


def _long_answer(wire: Wire) -> None:
    wire.tree(chat("x" * 10_000_000))


def _redirect(status: int, host: bool) -> Callable[[Wire], None]:
    def respond(wire: Wire) -> None:
        where = f"{wire.elsewhere}/chat/completions?key={KEY}" if host else "/v1/chat/completions"
        wire.body(b"", status=status, headers=[f"Location: {where}"])

    return respond


BOMB = _bomb()
FAULTS: dict[str, Callable[[Wire], None]] = {
    # C1: nothing that can be read
    "a lone surrogate": says(json.dumps(chat()).replace(WRONG, r"1+1=\ud800").encode()),
    "a lone surrogate as bytes": says(
        json.dumps(chat()).replace(WRONG, "1+1=@").encode().replace(b"@", b"\xed\xa0\x80")
    ),
    "200,000 brackets": says(b"[" * 200_000),
    "200,000 brackets inside": says(
        json.dumps(chat(usage=0)).replace('"usage": 0', '"usage": ' + "[" * 200_000).encode()
    ),
    "no JSON": says(b"<html>busy</html>"),
    "bytes that are no text": says(b"\xff\xfe\x00"),
    "a byte order mark": says(b"\xef\xbb\xbf" + json.dumps(chat()).encode()),
    "an empty body": says(b""),
    "a number of 5,000 digits": says(b'{"choices": ' + b"9" * 5000 + b"}"),
    "keys twice": says(b'{"choices": [], ' + json.dumps(chat()).encode()[1:]),
    "choices that are none": lambda wire: wire.tree(chat(choices={"0": "x"})),
    "no choices": lambda wire: wire.tree(chat(choices=[])),
    "a million choices": says(b'{"choices": [' + b"{}," * 1_000_000 + b"{}]}"),
    "no message": lambda wire: wire.tree(chat(choices=[{"message": None, "finish_reason": "stop"}])),
    "a number for a text": lambda wire: wire.tree(chat(7)),
    "a list": says(b"[]"),
    "null": says(b"null"),
    "an answer with nulls inside": lambda wire: wire.tree(chat("1+1=\x00\x00")),
    # C1, C2: counts that are none
    "10^12 tokens": usage(10**12, 10**12),
    "10^30 tokens": usage(10**30, 10**30),
    "negative tokens": usage(-(10**9), -(10**9)),
    "tokens as text": usage("20", "20"),
    "half a token": usage(20.5, 1e300),
    "tokens that are true": usage(True, True),
    "tokens that are no number": says(
        json.dumps(chat(usage=0)).replace('"usage": 0', '"usage": {"prompt_tokens": NaN}').encode()
    ),
    "no tokens": usage(0, 0),
    "no usage": lambda wire: wire.tree(chat(usage=None)),
    "a usage that is a list": lambda wire: wire.tree(chat(usage=[1])),
    # C3: too slow, too long
    "headers one by one": _drip_headers,
    "headers without end": _endless_headers,
    "early hints without end": _drip_early_hints,
    "a body byte by byte": _drip_body,
    "a GiB that is announced": lambda wire: (wire.body(b"", length=GIB), wire.endless(CHUNK, GIB))[0],
    "a GiB in chunks": _chunked,
    "a GiB of an error": lambda wire: _chunked(wire, status=500),
    "a GiB of a redirect": lambda wire: _chunked(wire, "Location: /v1/models\r\n", status=302),
    "a gzip bomb": lambda wire: wire.body(BOMB, headers=["Content-Encoding: gzip"]),
    "gzip without end": lambda wire: _chunked(wire, "Content-Encoding: gzip\r\n", BOMB[: 1 << 16]),
    "an answer of 10 MB": _long_answer,
    "brackets without end": lambda wire: _chunked(wire, packed=b'{"a":1},' * 8192),
    # C4: elsewhere
    "a redirect to another host": _redirect(307, host=True),
    "a redirect to itself": _redirect(308, host=False),
    "a redirect to nowhere": lambda wire: wire.body(b"", status=301, headers=["Location: http://[::1"]),
    # C5: parts
    "a part that is an image": lambda wire: wire.tree(chat([{"type": "image_url", "image_url": {"url": "x"}}])),
    "a part without a type": lambda wire: wire.tree(chat([{"text": WRONG}])),
    "a part that is a number": lambda wire: wire.tree(chat([7])),
    # C6: no end
    "a call of a tool": lambda wire: wire.tree(chat(finish_reason="tool_calls")),
    "no end": lambda wire: wire.tree(chat(finish_reason=None)),
    "an end that is a number": lambda wire: wire.tree(chat(finish_reason=1)),
    "an end nobody knows": lambda wire: wire.tree(chat(finish_reason="\x1b[2Jbecause")),
    "out of tokens by another name": lambda wire: wire.tree(chat(finish_reason="MAX_TOKENS")),
    "a filter": lambda wire: wire.tree(chat(finish_reason="content_filter")),
    # C7: errors as answers
    "an error with 200": lambda wire: wire.tree({"error": {"message": f"overloaded \x1b[2J{KEY}" + "." * 9999}}),
    "an error with 200 that is a tree": lambda wire: wire.tree({"error": [[{"a": KEY}]]}),
    # and the line itself
    "the connection ends": lambda wire: None,
    "half a status line": lambda wire: wire.raw(b"HTTP/1.1 2"),
    "another protocol": lambda wire: wire.raw(b"SSH-2.0-x\r\n"),
    "a length that is none": lambda wire: wire.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
    "a header that is none": lambda wire: wire.raw(b"HTTP/1.1 200 OK\r\n\x00\xff\r\n\r\n{}"),
    "a status of 999": lambda wire: wire.body(b"{}", status=999),
    "a pause that is none": lambda wire: wire.body(b"{}", status=429, headers=["Retry-After: nan"]),
    "cookies": lambda wire: wire.tree(chat(), headers=[f"Set-Cookie: c{n}={'x' * 900}" for n in range(50)]),
}
ANSWERED = {
    "keys twice", "an answer with nulls inside", "10^12 tokens", "10^30 tokens", "negative tokens", "tokens as text",
    "half a token", "tokens that are true", "tokens that are no number", "no tokens", "no usage",
    "a usage that is a list", "out of tokens by another name", "cookies",
}  # fmt: skip
"""Faults that leave an answer to be read: a wrong one, or one that was cut off."""


@dataclass
class HostileServer:
    faults: Sequence[str]
    """In turn, request by request."""
    asked: Counter[str] = field(default_factory=Counter)
    """Questions by their key."""
    met: Counter[str] = field(default_factory=Counter)
    """Questions by what came of them."""
    cookies: int = 0
    """Requests that brought a cookie."""
    followed: int = 0
    """Requests that came where a redirect led."""
    checks: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def hostile(faults: Sequence[str]) -> Iterator[HostileServer]:
    """The server on a loopback port, ended at the end."""
    server = HostileServer(faults)

    class Elsewhere(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            server.followed += 1
            self.send_error(500)

        do_GET = do_POST

    class Handler(Elsewhere):
        def do_GET(self) -> None:
            Wire(self, "").tree({"data": [{"id": MODEL}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            key = self.headers["Idempotency-Key"]
            if key.startswith("opening-"):
                server.checks += 1
                Wire(self, "").tree(chat())
                return
            with server.lock:
                name = server.faults[sum(server.asked.values()) % len(server.faults)]
                server.asked[key] += 1
                server.met[name] += 1
                server.cookies += "Cookie" in self.headers
            FAULTS[name](Wire(self, elsewhere))

    with _listening(Elsewhere) as elsewhere, _listening(Handler) as server.url:
        yield server


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    listening = QuietServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}/v1"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(5)
