"""Where a teacher is and what opens it: an address and a key, neither of them ever shown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from relift.config import ApiTeacherConfig
from relift.errors import TeacherError

OPENAI_URL = "https://api.openai.com/v1"
MOST_CHARACTERS = 300
"""Of a server's words that are repeated."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the teacher is and what opens it; never shown, logged or stored."""

    url: str
    key: str | None
    """None for a server that wants none."""

    def __repr__(self) -> str:
        return "Endpoint(...)"

    @property
    def shown(self) -> str:
        """For messages: the URL without what may be secret in it."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"

    def at(self, path: str) -> str:
        """The URL of something below the base, such as ``chat/completions``; a query of the base stays one."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{path}", parts.query, ""))

    def keyless(self, text: str) -> str:
        """A text from outside without the key."""
        return text.replace(self.key, "[key]") if self.key else text

    def redacted(self, text: object) -> str:
        """A text from outside as it may stand in a message: without the key, on one line, in plain sight, not endless.

        Control characters, terminal escapes and halves of characters are written out as escapes.
        """
        whole = self.keyless(str(text))  # before it is cut, lest half of the key is shown
        plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in whole[:MOST_CHARACTERS])
        is_short = len(whole) <= MOST_CHARACTERS and len(plain) <= MOST_CHARACTERS
        return plain if is_short else plain[: MOST_CHARACTERS - 3] + "..."


def endpoint_of(config: ApiTeacherConfig) -> Endpoint:
    """From recipe and environment. Raises TeacherError when the key or a usable URL is missing."""
    url = config.base_url or os.environ.get(config.url_variable) or OPENAI_URL
    # The URL stays unsaid: a malformed one may hold a secret anywhere.
    if problem := _url_fault(url):
        setting = "teacher.api.base_url" if config.base_url else config.url_variable
        raise TeacherError(
            f"the teacher's base URL in {setting} {problem}, so nobody could be asked. Give one such as "
            f"https://api.openai.com/v1 or http://localhost:8000/v1 in teacher.api.base_url or {config.url_variable}."
        )
    if config.key_variable is None:
        return Endpoint(url, None)
    key = os.environ.get(config.key_variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        problem = "holds no usable key" if key else "is not set"
        raise TeacherError(
            f"the environment variable {config.key_variable} {problem}, and teacher.api needs the key for "
            f"{Endpoint(url, None).shown}. Export it, name another variable with teacher.api.key_variable, or set "
            f"teacher.api.key_variable=off for a server that wants none."
        )
    return Endpoint(url, key)


def _url_fault(url: str) -> str:
    """What is wrong with a base URL; empty where nothing is."""
    if not url.startswith(("http://", "https://")):
        return "does not begin with http:// or https://"
    if not url.isprintable() or " " in url:
        return "holds a blank or a control character"
    try:
        parts = urlsplit(url)
        return "" if parts.hostname and parts.port != 0 else "names no host, or port 0"
    except ValueError:
        return "has a host or a port that cannot be read (a port is a number up to 65535)"
