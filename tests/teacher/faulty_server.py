"""A teacher over real HTTP that knows the solutions, and fails, dawdles, cuts and errs by a script.

What becomes of a request is a function of its Idempotency-Key and of how often it came, so a test can count on shares.
Every answer that was sent whole is counted by that key: the bill. The question at the start has a key of its own: it is
answered whatever the script says, and counted apart.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-5a1f9c77d2e04b"
MODEL = "scripted"
PROMPT_TOKENS = 20


@dataclass(frozen=True)
class Script:
    """Shares of requests that go wrong in some way; the rest is answered."""

    too_many: float = 0.0
    """429 with Retry-After."""
    broken: float = 0.0
    """500."""
    slow: float = 0.0
    """No answer before the client gives up."""
    torn: float = 0.0
    """The connection ends in the middle of the answer."""
    cut: float = 0.0
    """A whole answer whose text ran out of tokens."""
    wrong: float = 0.0
    """A whole answer with another result."""
    slow_seconds: float = 1.5
    delay_seconds: float = 0.0
    """Before every answer."""
    retry_after: str = "0.05"


FAULTY = Script(too_many=0.05, broken=0.05, slow=0.05, torn=0.025, cut=0.025, wrong=0.15)
"""20 % of 429, 500, timeouts and cut answers, 15 % wrong solutions."""


@dataclass
class Seen:
    key: str
    question: str
    outcome: str
    at: float
    tokens: int


@dataclass
class FaultyServer:
    solutions: Mapping[str, str]
    script: Script = field(default_factory=Script)
    key: str | None = KEY
    models: tuple[str, ...] | None = (MODEL,)
    """What the list of models names; None: there is no list. Empty: making it fails, and with it the connection."""
    refuse: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda body: None
    """(status, message) in place of an answer, by the body of the request."""
    message: Callable[[dict[str, Any], str], dict[str, Any]] = lambda body, text: {"content": text}
    """What the answer's message holds beside its role, by the body and the solution."""
    end: str | None = "stop"
    """The finish_reason of the answer to the question at the start."""
    checks: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the questions at the start that were answered."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Of all other questions."""
    seen: list[Seen] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """Requests that ``refuse`` refused."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def outcome(self, key: str, time_asked: int) -> str:
        draw = int(hashlib.sha256(f"{key}/{time_asked}".encode()).hexdigest()[:8], 16) / 16**8
        for name in ("too_many", "broken", "slow", "torn", "cut", "wrong"):
            draw -= getattr(self.script, name)
            if draw < 0:
                return name
        return "right"

    @property
    def wrong_texts(self) -> set[str]:
        return {spoilt(solution) for solution in self.solutions.values()}


def spoilt(solution: str) -> str:
    """The same chain with a last result that is one too large."""
    head, equals, result = solution.rpartition("=")
    return f"{head}{equals}{int(result) + 1}" if result.lstrip("-").isdigit() else f"{solution}1"


@contextmanager
def serving(server: FaultyServer, port: int = 0) -> Iterator[FaultyServer]:
    """The server on a loopback port, ended at the end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            if not self._is_allowed():
                return
            if not self.path.endswith("/models") or server.models is None:
                self._send(404, {"error": {"message": "no such path"}})
                return
            if not server.models:
                self._send(500, {"error": {"message": "Internal Server Error"}})
                self.rfile.read(1)
                self.close_connection = True
                return
            self._send(200, {"object": "list", "data": [{"id": m, "object": "model"} for m in server.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._is_allowed():
                return
            if body["model"] != MODEL:
                self._send(404, {"error": {"message": f"The model {body['model']} does not exist"}})
                return
            if refusal := server.refuse(body):
                with server.lock:
                    server.refused += 1
                self._send(refusal[0], {"error": {"message": refusal[1]}})
                return
            if self.headers.get("Idempotency-Key", "").startswith("opening-"):
                server.checks.append(body)
                self._send(200, completion(server.message(body, "2"), server.end))
                return
            server.bodies.append(body)
            answer_chat(self, server, body)

        def _is_allowed(self) -> bool:
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if server.key is None or given == server.key:
                return True
            # A server that repeats the key it was given must not make us repeat it.
            self._send(401, {"error": {"message": f"Incorrect API key provided: {given}"}})
            return False

        def _send(self, status: int, tree: Any, headers: Mapping[str, str] | None = None) -> None:
            content = json.dumps(tree).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    listening = QuietServer(("127.0.0.1", port), Handler)
    server.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(5)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed or gave up is part of the script."""


def completion(message: dict[str, Any], finish_reason: str | None, tokens: int = 1) -> dict[str, Any]:
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": 0},
    }


def answer_chat(handler: Any, server: FaultyServer, body: dict[str, Any]) -> None:
    question = body["messages"][-1]["content"]
    key = handler.headers["Idempotency-Key"]
    with server.lock:
        outcome = server.outcome(key, sum(s.key == key for s in server.seen))
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        server.seen.append(Seen(key, question, outcome, time.monotonic(), PROMPT_TOKENS + limit))
    if outcome == "too_many":
        handler._send(429, {"error": {"message": "too many"}}, {"Retry-After": server.script.retry_after})
        return
    if outcome == "broken":
        handler._send(500, {"error": {"message": "broken"}})
        return
    if outcome == "slow":
        time.sleep(server.script.slow_seconds)
        handler.close_connection = True
        return
    time.sleep(server.script.delay_seconds)
    solution = server.solutions.get(question, "0")
    text = {"cut": solution[: len(solution) // 2], "wrong": spoilt(solution)}.get(outcome, solution)
    tree = completion(server.message(body, text), "length" if outcome == "cut" else "stop", tokens=len(text))
    if outcome == "torn":
        content = json.dumps(tree).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True
        return
    handler._send(200, tree)
    with server.lock:
        server.answered[key] += 1
