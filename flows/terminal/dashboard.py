"""The live view: everything of a run that moves, in one panel that is drawn over itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.terminal.text import cropped, held_out, position, short_benchmark, written
from flows.terminal.time_left import Past, Stopwatch, as_clock
from relift.records import EvalResult, IterationReport, Status
from relift.run.progress import Example

WIDEST = 120
TREND = 24
"""Blocks of the accuracy's trend over the whole run."""
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.,-=+*#"
BESIDE = frozenset({"rl_update", "source"})
"""Phases that run side by side."""


class LiveView:
    """What is known of the run, and a picture of it at any moment. Told and drawn from different threads."""

    def __init__(self, console: Console, name: str, stopwatch: Stopwatch, past: Past) -> None:
        self.console = console
        self.name = name
        self.stopwatch = stopwatch
        self._accuracies = dict(past.accuracies)
        self._taught = dict(past.taught)
        self._phase = ""
        self._report: IterationReport | None = None
        self._examples: tuple[Example, ...] = ()
        self._evaluation: tuple[int, tuple[EvalResult, ...]] | None = None
        self._note = ""
        self._lock = threading.Lock()

    def phase(self, name: str) -> None:
        with self._lock:
            self.stopwatch.phase(name)
            self._phase = "rl_update, source" if {name, self._phase} == BESIDE else name

    def tokens(self, count: int) -> None:
        with self._lock:
            self.stopwatch.tokens(count)

    def iteration(self, report: IterationReport, examples: Sequence[Example]) -> None:
        with self._lock:
            self.stopwatch.iteration(report.iteration, report.spent)
            self._report = report
            self._examples = tuple(examples)
            self._accuracies[report.iteration] = report.accuracy
            self._taught[report.iteration] = report.taught

    def evaluated(self, iteration: int, results: Sequence[EvalResult]) -> None:
        with self._lock:
            if results:
                self._evaluation = iteration, tuple(results)

    def note(self, text: str) -> None:
        with self._lock:
            self._note = text

    def render(self) -> RenderableType:
        with self._lock:
            width = min(self.console.width, WIDEST)
            inside = width - 4  # the frame and a blank on each side
            parts: list[RenderableType] = [self._headline()]
            if self._report:
                parts += [Text(), self._numbers(self._report)]
            if self._evaluation:
                parts += [Text(), self._held_out(*self._evaluation, inside)]
            if self._examples:
                parts += [Text(), *(_example(example, inside) for example in self._examples)]
            if self._note:
                parts += [Text(), Text(cropped(self._note, inside), style="yellow", no_wrap=True)]
            title = Text(cropped(self.name, inside), style="bold")
            return Panel(Group(*parts), title=title, title_align="left", box=ROUNDED, width=width, border_style="dim")

    def _headline(self) -> Table:
        done = self._report.iteration + 1 if self._report else 0
        line = Table.grid(padding=(0, 2), expand=True)
        for ratio in (None, 1, None, None):
            line.add_column(ratio=ratio, no_wrap=True)
        left = self.stopwatch.seconds_left
        line.add_row(
            position(done, self.stopwatch.iterations, of=" of "),
            ProgressBar(total=1.0, completed=self.stopwatch.share, complete_style="cyan", finished_style="green"),
            Text(self._phase, style="cyan"),
            Text("" if left is None else f"{as_clock(left)} left"),
        )
        return line

    def _numbers(self, report: IterationReport) -> Table:
        last = report.iteration
        trend = means([self._accuracies[i] for i in sorted(self._accuracies) if i <= last], TREND)
        taught = sum(count for iteration, count in self._taught.items() if iteration <= last)
        rate = self.stopwatch.tokens_per_second
        blocks = ASCII_BLOCKS if self.console.options.ascii_only else BLOCKS
        cells = {
            "accuracy": Text.assemble((f"{100 * report.accuracy:.1f} % ", "bold"), (sparkline(trend, blocks), "cyan")),
            "unsolved": Text.assemble((f"{report.unsolved}", "bold"), (f" of {report.questions}", "dim")),
            "buffer": Text(f"{report.buffer}", style="bold"),
            "taught so far": Text(f"{taught:,}", style="bold"),
            "sampled/s": Text("" if rate is None else f"{rate:,.0f}", style="bold"),
            "trained/s": Text(f"{report.trained_tokens_per_second:,.0f}", style="bold"),
            "memory": Text(f"{report.peak_memory_bytes / 2**30:.1f} GiB", style="bold"),
        }
        if report.mfu is not None:
            cells["MFU"] = Text(f"{report.mfu:.0%}", style="bold")
        table = Table.grid(padding=(0, 3))
        for _ in cells:
            table.add_column(no_wrap=True)
        table.add_row(*(Text(label, style="dim") for label in cells))
        table.add_row(*cells.values())
        return table

    def _held_out(self, iteration: int, results: Sequence[EvalResult], width: int) -> Text:
        mean = sum(r.avg_at_k for r in results) / len(results)
        each = "  ".join(f"{name} {100 * share:.0f}" for name, share in _means(results).items())
        head = f"{held_out(iteration)}  "
        figure = f"{100 * mean:.1f} %  "
        available = max(0, width - len(head) - len(figure))
        return Text.assemble((head, "dim"), (figure, "bold"), (cropped(each, available), "dim"), no_wrap=True)


def _means(results: Sequence[EvalResult]) -> dict[str, float]:
    """By kind where there are kinds, else by benchmark."""
    shares: dict[str, list[float]] = {}
    for r in results:
        shares.setdefault(r.kind or short_benchmark(r.benchmark), []).append(r.avg_at_k)
    return {name: sum(found) / len(found) for name, found in shares.items()}


def means(values: Sequence[float], most: int) -> list[float]:
    """At most so many means of neighbours, all but the last of equally many: (1, 3, 5), 2 -> (2, 5)."""
    width = max(1, -(-len(values) // most))
    parts = [values[start : start + width] for start in range(0, len(values), width)]
    return [sum(part) / len(part) for part in parts]


def sparkline(shares: Sequence[float], blocks: str = BLOCKS) -> str:
    """One block per share, lowest for 0, highest for 1: (0, 0.5, 1) -> ``▁▅█``."""
    return "".join(blocks[min(len(blocks) - 1, int(share * len(blocks)))] for share in shares)


def _example(example: Example, width: int) -> Text:
    """One line: verdict, question, completion, gold answer. A long completion keeps its end, where the answer is."""
    verdict = f"{example.verdict.status:<10}"
    gold = f"  gold {cropped(example.gold, 16)}"
    available = max(8, width - len(verdict) - len(gold) - 4)
    asked = cropped(example.question, max(4, 2 * available // 5))
    wrote = written(example.text, available - len(asked))
    is_correct = example.verdict.status is Status.CORRECT
    return Text.assemble(
        (verdict, "green" if is_correct else "red"), asked, ("  → ", "dim"), wrote, (gold, "dim"), no_wrap=True
    )
