"""The Prefect server of an embedded run: a child that ends when its parent does, however the parent ended.

Started by ``flows.server`` as ``python -m flows.server_child HOST PORT`` with a pipe as standard input that nobody
writes to: the pipe's end is the parent's end, on every platform and also after kill -9.
"""

from __future__ import annotations

import os
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock would be held when the interpreter ends
        pass
    os._exit(0)


def main(host: str, port: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
