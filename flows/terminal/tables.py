"""Tables for a terminal: cells cropped, headers folded, rows as blocks where the columns do not fit side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from flows.terminal.printing import shown
from flows.terminal.text import cropped

if TYPE_CHECKING:
    from relift.ledger import Table

WIDEST_CELL = 80
NARROWEST_TEXT = 10
"""A column of text shrinks to this many characters before rows become blocks."""
PADDINGS = (1, 0)
"""Blanks after each cell, and where that is too wide; the box puts one more between columns."""


def print_table(console: Console, table: Table) -> None:
    """All rows, side by side or, where the terminal is too narrow for that, one block a row."""
    rows = [[cell(value) for value in row] for row in table.rows]
    columns = range(len(table.columns))
    numeric = [_is_numeric([row[column] for row in table.rows]) for column in columns]
    headers = [_folded(table.columns[column], _widest(row[column] for row in rows)) for column in columns]
    widths = [_widest([*headers[column].splitlines(), *(row[column] for row in rows)]) for column in columns]
    for padding in PADDINGS:
        fitted = fit(widths, numeric, console.width - (padding + 1) * len(widths))
        if fitted is not None:
            console.print(_grid(headers, rows, numeric, fitted, padding))
            break
    else:
        _print_blocks(console, table.columns, rows)
    rest = "; there are more" if table.is_cut else ""
    console.print(shown(f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}{rest}", style="dim"))


def fit(widths: Sequence[int], is_fixed: Sequence[bool], available: int) -> list[int] | None:
    """Widths that sum to at most ``room``, taken from the widest of the columns that may shrink; None without a way."""
    fitted = list(widths)
    while sum(fitted) > available:
        shrinkable = [p for p, width in enumerate(fitted) if not is_fixed[p] and width > NARROWEST_TEXT]
        if not shrinkable:
            return None
        fitted[max(shrinkable, key=lambda column: fitted[column])] -= 1
    return fitted


def _grid(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], widths: Sequence[int], padding: int
) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, show_edge=False)
    for header, is_number, width in zip(headers, numeric, widths, strict=True):
        grid.add_column(
            shown(header),
            justify="right" if is_number else "left",
            vertical="bottom",
            no_wrap=True,
            width=width,
            overflow="ellipsis",
        )
    for row in rows:
        grid.add_row(*(shown(text) for text in row))
    return grid


def cell(value: Any) -> str:
    """A value in few characters: floats to four digits, texts in one line, nothing as NULL."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        if not math.isfinite(value) or abs(value) < 1e4:
            return f"{value:.4g}"
        return f"{value:.0f}"
    return cropped(str(value), WIDEST_CELL)


def _print_blocks(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in rows:
        block = Grid.grid(padding=(0, 2))
        block.add_column(style="dim", no_wrap=True)
        block.add_column()
        for name, text in zip(columns, row, strict=True):
            block.add_row(shown(name), shown(text, overflow="fold"))
        console.print(block)
        console.print()


def _is_numeric(values: Sequence[Any]) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)


def _widest(texts: Any) -> int:
    return max((len(text) for text in texts), default=0)


def _folded(name: str, width: int) -> str:
    """A name broken after its underscores where it is wider than what stands below it."""
    lines = [""]
    for part in cropped(name, WIDEST_CELL).replace("_", "_ ").split():
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
