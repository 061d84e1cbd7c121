"""A comparison while it works: all of its runs in one table that is drawn over itself, or a line for each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.children import Child
from flows.terminal.time_left import as_clock
from flows.terminal.view import PatientLive, quietly
from relift.study.comparison import Comparison
from relift.study.results import RunResult

LINE_SECONDS = 60.0
"""Between lines on what runs, where they are not drawn over each other."""


class StudyView:
    """Told by the flow; ``shown`` draws it where a person looks on."""

    def __init__(self, comparison: Comparison, console: Console | None = None) -> None:
        self.comparison = comparison
        self.console = console or Console(quiet=True)
        self.seconds: list[float] = []
        """Of the runs that ended here."""
        self.children: Sequence[Child] = ()
        self.is_live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._line_due = time.monotonic() + LINE_SECONDS

    @contextmanager
    def shown(self) -> Iterator[None]:
        if not self.is_live:
            yield
            return
        live = PatientLive(console=self.console, get_renderable=self.render, refresh_per_second=2)
        is_shown = quietly(self.console, live.start)
        try:
            yield
        finally:
            if is_shown:
                quietly(self.console, live.stop)

    def began(self, child: Child) -> None:
        results, seed = self.comparison.results, child.run.seed
        given = [
            f", {section}.{key} {getattr(results[of, seed], key):.12g} as of {of}"
            for (section, key), of in child.run.method.references
        ]
        self._line(f"{child.run}: {'goes on' if child.share_at_begin else 'begins'}{''.join(given)} (log: {child.log})")

    def look(self, children: Sequence[Child]) -> None:
        self.children = list(children)
        if not self.is_live and time.monotonic() > self._line_due:
            self._line_due = time.monotonic() + LINE_SECONDS
            self._line("; ".join([f"{child.run} {_percent(child)}" for child in children] + [self._left()]))

    def ended(self, child: Child, result: RunResult, seconds: float) -> None:
        self.seconds.append(seconds)
        self._line(
            f"{child.run}: mean {result.mean_base:.1%} -> {result.mean:.1%}, {result.demonstrations} demonstrations, "
            f"{result.rollouts} rollouts{_of_budget(result)}, {as_clock(seconds)}; {self._left()}"
        )

    def failed(self, child: Child) -> None:
        self._line(f"{child.run}: failed with status {child.process.returncode} (log: {child.log})")

    def note(self, text: str) -> None:
        self._line(text)

    def render(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for child in self.children:
            left = child.seconds_left
            bar = ProgressBar(total=1.0, completed=child.share or 0.0, width=30)
            table.add_row(
                Text(str(child.run)),
                bar,
                _percent(child),
                Text("" if left is None else f"{as_clock(left)} left", "dim"),
            )
        return Group(table, Text(self._left(), "dim"))

    def _left(self) -> str:
        done = len(self.comparison.results)
        waiting = len(self.comparison.waiting)
        said = f"{done} of {len(self.comparison.study.runs())} results stand"
        if self.seconds and waiting:
            each = sum(self.seconds) / len(self.seconds)
            said += f", about {as_clock(each * waiting / self.comparison.study.beside)} for the {waiting} that wait"
        return said

    def _line(self, text: str) -> None:
        quietly(self.console, lambda: self.console.print(text, highlight=False, markup=False))


def _of_budget(result: RunResult) -> str:
    return "" if result.budget_used is None else f" ({result.budget_used:.1%} of the budget)"


def _percent(child: Child) -> str:
    return "begins" if child.share is None else f"{child.share:.0%}"
