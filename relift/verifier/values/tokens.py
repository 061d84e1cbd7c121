"""The tokens of an expression, and where its reader stands among them."""

from __future__ import annotations

import re

MAX_TOKENS = 400
_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?|\.\d+)|(\\text\{[A-Za-z]\}|\\[A-Za-z]+|\\[{}|%])|([A-Za-z])('*)|([-+*/^_(){}\[\]!|,]))"
)
_GREEK = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell
"""
LETTER_COMMANDS = frozenset(f"\\{name}" for name in _GREEK.split())
"""That stand for a letter."""


class NotRead(Exception):
    """The text is not of the kind that is read here."""


class Tokens:
    """Numbers, letters with their primes, commands and signs, read from left to right; NotRead for anything else."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        self.position = 0
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                if text[at:].isspace():
                    break
                raise NotRead
            self.tokens.append((found[3] or "") + found[4] if found[3] else found[1] or found[2] or found[5])
            at = found.end()
            if len(self.tokens) > MAX_TOKENS:
                raise NotRead

    def at_end(self) -> bool:
        return self.position == len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        at = self.position + ahead
        return self.tokens[at] if at < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise NotRead
        self.position += 1
        return token

    def index(self) -> str:
        """An index as text: ``_{n+1}``."""
        self.take("_")
        self.take("{")
        index = "_{"
        while (token := self.take()) != "}":
            if token == "{":
                raise NotRead
            index += token
        return f"{index}}}"
