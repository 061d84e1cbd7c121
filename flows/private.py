"""Whatever relift writes is its user's alone: texts, prompts and answers of teachers may be nobody else's business."""

from __future__ import annotations

import os

from relift.errors import ConfigError

VARIABLE = "RELIFT_UMASK"
PRIVATE = 0o077
"""Of new files and folders nothing is left to group and others."""


def keep_private() -> None:
    """From here on, in this process and its children, also for what DuckDB, Prefect and others write for us.

    RELIFT_UMASK, in octal digits as the shell's ``umask`` takes them, says otherwise: ``027`` shares with the group.
    Raises ConfigError where it is no such number.
    """
    given = os.environ.get(VARIABLE, "")
    if given and not (
        given.isascii() and given.isdigit() and "8" not in given and "9" not in given and len(given) <= 4
    ):
        raise ConfigError(
            f"{VARIABLE}={given!r} is no umask: give octal digits, such as 077 (only you, what holds without it), 027 "
            f"(your group may read) or 022 (everybody may)."
        )
    mask = int(given, 8) if given else PRIVATE
    if mask & 0o700:
        raise ConfigError(f"{VARIABLE}={given!r} takes your own rights away: its first of three digits has to be 0.")
    os.umask(mask)
