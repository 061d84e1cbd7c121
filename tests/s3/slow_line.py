"""A line to a server on loopback that takes so many bytes a second, whoever sends them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PIECE = 64 << 10


@contextmanager
def slow_line(url: str, *, bytes_per_second: float) -> Iterator[str]:
    """The URL to use instead of the server's own."""
    where = urlsplit(url)
    listening = socket.create_server(("127.0.0.1", 0))
    pace = threading.Lock()

    def carry(source: socket.socket, target: socket.socket, *, is_slow: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if is_slow:
                    with pace:
                        time.sleep(len(piece) / bytes_per_second)
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def connect(here: socket.socket) -> None:
        with here, socket.create_connection((where.hostname or "", where.port or 80)) as there:
            back = threading.Thread(target=carry, args=(there, here), kwargs={"is_slow": False}, daemon=True)
            back.start()
            carry(here, there, is_slow=True)
            back.join()

    def serve() -> None:
        with suppress(OSError):
            while True:
                here, _ = listening.accept()
                here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
                threading.Thread(target=connect, args=(here,), daemon=True).start()

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        serving.join()
        listening.close()
