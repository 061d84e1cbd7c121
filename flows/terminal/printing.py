"""Printing for a person or a pipe: nothing that was written elsewhere reaches a terminal as anything but text."""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from flows.terminal.text import lines

WIDTH_OF_A_FILE = 400
"""Where no terminal says how wide it is."""
_BLANKS_AT_THE_END = re.compile(r" +(?=\n)")


class Trimmed:
    """A stream to a file or a pipe, in which no line ends in the blanks that a table pads it with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """What Rich prints comes here whole, line ends included."""
        self._stream.write(_BLANKS_AT_THE_END.sub("", text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def new_console() -> Console:
    """For standard output; what goes to a file or a pipe is not squeezed into 80 columns, and not padded to any."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    trimmed = cast(TextIO, Trimmed(sys.stdout))  # a console calls no more of it than write and flush
    return Console(file=trimmed, width=WIDTH_OF_A_FILE, highlight=False)


def shown(text: object, style: str = "", **options: Any) -> Text:
    """Text to print, whoever wrote it: no markup is read in it, and what cannot be printed is replaced."""
    return Text(lines(str(text)), style=style, **options)
