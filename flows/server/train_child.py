"""A run of a comparison: `relift train` in a child that ends when its parent does, however the parent ended.

Started by ``flows/compare.py`` as ``python -m flows.server.train_child RECIPE --name NAME --set ...`` with a pipe as
standard input that nobody writes to: the pipe's end is the parent's end, also after kill -9.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

LEAVING_SECONDS = 4.5
"""A run that is asked to stop is gone in less; see ``flows/session.py``."""


def _end_with_parent() -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock would be held when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LEAVING_SECONDS)
    os._exit(3)


def main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from flows.cli.main import main as relift

    sys.argv[:1] = ["relift", "train"]
    relift()


if __name__ == "__main__":
    main()
