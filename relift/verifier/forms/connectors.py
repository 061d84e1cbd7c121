"""Commas, semicolons, "and" and "or" between the parts of an answer."""

from __future__ import annotations

import re

from relift.verifier.spelling.brackets import split_top

AND, OR = "\x01", "\x02"
"""What "and" and "or" become, so that they can be split at like commas."""

_CONNECTOR = re.compile(r"\\text\{([^{}]*)\}|(?<![A-Za-z\\])(and|or)(?![A-Za-z])|\\(?:land|lor)(?![A-Za-z])")
_CONNECTORS = {"and": AND, "land": AND, "&": AND, "or": OR, "lor": OR, "": ","}
_ENDS_IN_CONNECTOR = re.compile(r"([a-z]+),? (and|or)")
_DECIMAL_COMMA = re.compile(r"^(\s*[+-]?\d+),(\d+\s*)$")


def marked(text: str) -> str:
    """The text with ``AND`` and ``OR`` where it says so."""
    return _CONNECTOR.sub(_mark, text)


def parts_of(text: str, connectors: str = "") -> list[str]:
    """What semicolons part, and otherwise commas; a comma between semicolons is a decimal one in ``1,5; 2``."""
    if len(split_top(text, ";")) == 1:
        return split_top(text, "," + connectors)
    return [_DECIMAL_COMMA.sub(r"\1.\2", part) for part in split_top(text, ";" + connectors)]


def _mark(found: re.Match[str]) -> str:
    word = found[1].strip(" ,").lower() if found[1] is not None else found[2] or found[0][1:]
    if words := _ENDS_IN_CONNECTOR.fullmatch(word):  # `\text{cm and }`
        return f"\\text{{{words[1]}}}{_CONNECTORS[words[2]]}"
    return _CONNECTORS.get(word, found[0])
