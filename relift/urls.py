"""URLs as they may be shown: without the passwords and keys that they hold."""

from __future__ import annotations

import re

HIDDEN = "***"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Up to the last @ of a word: a password may hold what would end the host's name if it were written right.
_USER = re.compile(rf"({_SCHEME.pattern})\S*@")
_NAMES = "key|token|secret|signature|password|passwd|credential|auth"
_SECRET = re.compile(rf"([?&;][^=&#\s]*(?:{_NAMES})[^=&#\s]*=)[^&#\s\"']+", re.IGNORECASE)


def shown_url(url: str) -> str:
    """One URL, or what was given for one, e.g. ``http://me:secret@host/api`` as ``http://***@host/api``."""
    before, at, after = url.rpartition("@")
    if at:
        scheme = _SCHEME.match(before)
        url = f"{scheme[0] if scheme else ''}{HIDDEN}@{after}"
    return _SECRET.sub(rf"\1{HIDDEN}", url)


def without_passwords(text: str) -> str:
    """A message with every URL in it shown so, e.g. what a library said of an endpoint."""
    return _SECRET.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))
