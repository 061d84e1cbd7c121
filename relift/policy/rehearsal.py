"""Chat templates rendered in a process that can be killed, before the library renders them in this one."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 2.0
"""Of processor time for one chat."""
MAX_BYTES = 1 << 20
"""Of one rendered chat."""
START_SECONDS = 60.0
"""For a tenth of a second of work, on a machine however busy."""
SECONDS_PER_CHAT = 0.05
"""Of all chats on the average, where ordinary ones take less than a thousandth of it."""
_CHILD = Path(__file__).parent / "template_child.py"
_known: dict[str, list[str | None]] = {}
"""What this process has rehearsed, by digest, since the same template is opened again and again."""

Chat = tuple[Sequence[Mapping[str, str]], bool]
"""Messages, and whether the prompt for an answer comes after them."""


def rehearse(template: str, variables: Mapping[str, object], chats: Sequence[Chat]) -> list[str | None]:
    """For each chat why it cannot be rendered, e.g. ``"it takes more than 2 s"``; None where it can.

    A template is a function of its chat, but for the date: what ends within ``SECONDS`` and ``MAX_BYTES`` here does so
    in this process too. What comes after a chat that took the process with it was not tried, and is called a fault.
    """
    request = json.dumps(
        {"template": template, "variables": variables, "chats": chats, "seconds": SECONDS, "bytes": MAX_BYTES},
        default=str,
    ).encode()
    key = hashlib.sha256(request).hexdigest()
    if key not in _known:
        _known[key] = _tried(request, len(chats)) if chats else []
    return _known[key]


def _tried(request: bytes, count: int) -> list[str | None]:
    with subprocess.Popen(
        [sys.executable, "-I", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the whole terminal group; this process decides
    ) as child:
        try:
            said, _ = child.communicate(request, timeout=START_SECONDS + SECONDS_PER_CHAT * count)
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
        except BaseException:
            child.kill()
            raise
    reasons: list[str | None] = [json.loads(line) for line in said.splitlines()]
    if len(reasons) < count:
        is_late = child.returncode in (-signal.SIGPROF, -signal.SIGKILL)
        ended = f"the process that rendered it ended with {child.returncode}"
        reasons.append(f"it takes more than {SECONDS:g} s" if is_late else ended)
    return reasons + ["it was not tried"] * (count - len(reasons))
