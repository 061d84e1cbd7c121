"""What a person sees of a run while it works: one live view on a terminal, plain lines where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from flows.terminal.dashboard import LiveView
from flows.terminal.text import cropped, held_out, one_line, position, short_benchmark, written
from flows.terminal.time_left import Stopwatch, as_clock, read_past
from relift.records import EvalResult, IterationReport
from relift.run.progress import METRICS, Example, View
from relift.run.run import Run

REFRESH_PER_SECOND = 4.0
EXAMPLE_WIDTH = 60
"""Characters of a question and of a completion where nobody says how wide a line may be."""


@contextmanager
def make_view(console: Console, run: Run) -> Iterator[View]:
    """The view that suits the console. Its methods may be called from any thread.

    A terminal that goes away is not the run's fault: the view then falls silent.
    """
    past = read_past(run.root / METRICS)
    stopwatch = Stopwatch(run.iterations, budget=run.config.budget, recorded=past.last)
    if not console.is_terminal or console.is_dumb_terminal:
        yield LineView(console, stopwatch)
        return
    view = LiveView(console, run.name, stopwatch, past)
    live = PatientLive(console=console, get_renderable=view.render, refresh_per_second=REFRESH_PER_SECOND)
    is_shown = quietly(console, live.start)
    try:
        yield view
    finally:
        if is_shown:
            quietly(console, live.stop)


class PatientLive(Live):
    """A live view whose refreshing thread survives a terminal that was closed."""

    def refresh(self) -> None:
        quietly(self.console, super().refresh)


def quietly(console: Console, write: Callable[[], object]) -> bool:
    """Write to a terminal that may be gone: training goes on without it, and metrics.jsonl tells the rest.

    Whether it could be written.
    """
    try:
        write()
    except (OSError, ValueError):  # a terminal that hung up, a stream that was closed
        console.quiet = True  # or what could not be written would pile up in memory
    except SystemExit:
        # Rich's answer to a closed pipe, such as that of `relift train demo | head`. It has made itself quiet.
        pass
    return not console.quiet


def speeds(report: IterationReport) -> list[str]:
    """Of an iteration's updates, such as trained 7400 tokens/s, MFU 31 %, peak 0.8 GiB; empty without an update."""
    if not report.updates:
        return []
    return [
        f"trained {report.trained_tokens_per_second:.0f} tokens/s",
        *([] if report.mfu is None else [f"MFU {report.mfu:.0%}"]),
        f"peak {report.peak_memory_bytes / 2**30:.1f} GiB",
    ]


class LineView:
    """A line per iteration, and two for its examples."""

    def __init__(self, console: Console, stopwatch: Stopwatch) -> None:
        self.console = console
        self.stopwatch = stopwatch

    def phase(self, name: str) -> None:
        self.stopwatch.phase(name)

    def tokens(self, count: int) -> None:
        self.stopwatch.tokens(count)

    def iteration(self, report: IterationReport, examples: Sequence[Example]) -> None:
        is_replayed = report.iteration <= self.stopwatch.recorded
        self.stopwatch.iteration(report.iteration, report.spent)
        parts = [
            position(report.iteration + 1, self.stopwatch.iterations),
            f"accuracy {report.accuracy:.3f}",
            f"unsolved {report.unsolved}",
            f"buffer {report.buffer}",
            f"taught {report.taught}",
        ]
        if is_replayed:
            parts.append("recorded before")
        else:
            parts += [f"sampled {self.stopwatch.tokens_per_second or 0:.0f} tokens/s", *speeds(report)]
        if (left := self.stopwatch.seconds_left) is not None:
            parts.append(f"{as_clock(left)} left")
        self._print("  ".join(parts))
        if is_replayed:
            return
        for example in examples:
            asked, wrote = cropped(example.question, EXAMPLE_WIDTH), written(example.text, EXAMPLE_WIDTH)
            self._print(f"  {example.verdict.status:<9}  {asked}  ->  {wrote}  (gold {cropped(example.gold, 20)})")

    def evaluated(self, iteration: int, results: Sequence[EvalResult]) -> None:
        if not results:
            return
        mean = sum(r.avg_at_k for r in results) / len(results)
        each = "  ".join(f"{short_benchmark(r.benchmark)} {r.avg_at_k:.3f}" for r in results)
        self._print(f"{held_out(iteration)}: mean {mean:.3f}  ({each})")

    def note(self, text: str) -> None:
        self._print(one_line(text))

    def _print(self, line: str) -> None:
        """Never wrapped: whoever reads a log wants one line to be one."""
        quietly(self.console, lambda: self.console.print(line, markup=False, highlight=False, soft_wrap=True))
