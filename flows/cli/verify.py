"""The command `relift verify`: the verifier by itself, on one pair or on a file of them."""

from __future__ import annotations

import re
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar, get_args

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from flows.terminal.printing import new_console
from relift.config.recipe import validated
from relift.errors import ConfigError, Interrupted
from relift.records import DecidedBy, Status
from relift.verifier import Verifier
from relift.verifier.cache import verifier_version
from relift.verifier.case_files import digest_of, open_rows
from relift.verifier.cases import RowForm, Tally, verify_pairs, verify_rows
from relift.verifier.configured import make_verifier, require_comparison
from relift.verifier.extraction import AnswerForm

SECONDS_BETWEEN_LINES = 10.0

_OPTION = re.compile(r"--[a-z][a-z-]+(=.*)?")
_Kind = TypeVar("_Kind", Status, DecidedBy)
Options = dict[str, object]
"""Of the configuration's section `questions`; None where the command line does not say."""
_NAMES = {
    "answer_form": "--answer-form",
    "final_answer": "--final-answer",
    "rounded_golds": "--rounded-golds",
    "answer_kind": "--kind",
    "answer_tolerance": "--tolerance",
    "answer_callable": "--callable",
    "answer_seconds": "--seconds",
    "thinking": "--thinking",
}
_SETTING = re.compile(r"(?:questions\.)?\b(answer_\w+|final_answer|rounded_golds)\b|questions\.(thinking)\b")


def verify_command(
    what: Sequence[str],
    *,
    out: Path | None,
    form: str,
    options: Options,
    think_opened: bool,
    workers: int | None,
) -> bool:
    """Two texts are a pair, one is a file; whether the pair is equal, or the file verified."""
    for text in what:
        if _OPTION.fullmatch(text):
            raise ConfigError(f"there is no option {text}; `relift verify --help` lists them")
    if form not in get_args(RowForm):
        raise ConfigError(f"--form {form} is none of {', '.join(get_args(RowForm))}")
    if options["answer_form"] not in get_args(AnswerForm):
        raise ConfigError(f"--answer-form {options['answer_form']} is none of {', '.join(get_args(AnswerForm))}")
    if think_opened and options["thinking"] == "ignored":
        raise ConfigError("--think-opened would be ignored by --thinking ignored: leave one of them out")
    if form == "answer" and (ignored := _for_completions(options, think_opened)):
        raise ConfigError(
            f"{ignored} would be ignored, since it tells where a completion has its answer: add --form response, or "
            f"leave it out for bare answers"
        )
    row_form: RowForm = "answer" if form == "answer" else "response"
    opened = _opened(options, think_opened, 1 if len(what) == 2 else workers)
    if len(what) == 1:
        settings = repr((sorted(options.items()), think_opened, _source_digest(str(options["answer_callable"] or ""))))
        _verify_file(Path(what[0]), out, row_form, settings, opened)
        return True
    if len(what) != 2:
        raise ConfigError(f"{len(what)} texts were given: a pair is two, GOLD ANSWER, and a file is one")
    if out is not None:
        raise ConfigError("--out is for the rows of a file: leave it out for one pair")
    return _verify_pair(what[0], what[1], row_form, opened)


def _for_completions(options: Options, think_opened: bool) -> str:
    """The first option given that says nothing of a bare answer; "" without one."""
    given = {
        "--answer-form": options["answer_form"] in ("boxed", "hashes", "flexible"),
        "--final-answer": options["final_answer"] != "last",
        "--think-opened": think_opened,
        "--thinking": options["thinking"] != "must-close",
    }
    return next((name for name, is_given in given.items() if is_given), "")


def _verify_pair(gold: str, answer: str, form: RowForm, opened: AbstractContextManager[Verifier]) -> bool:
    with opened as verifier:
        verdict = verify_pairs([(gold, answer)], verifier, form)[0]
    console = new_console()
    console.print(f"{verdict.status.value}  (decided by {verdict.path.value}, {verdict.seconds:.4f} s)")
    for name, text in (("extracted", verdict.answer), ("reason", verdict.reason)):
        if text:
            console.print(Text(f"{name}: {_printable(text)}"))
    return verdict.status is Status.CORRECT


def _verify_file(
    source: Path, out: Path | None, form: RowForm, settings: str, opened: AbstractContextManager[Verifier]
) -> None:
    """Raises a UserError for a file that cannot be used; Interrupted on Ctrl-C and SIGTERM, which keep what is done."""
    rows = open_rows(source)
    if out is not None:
        _check_out(source, out)
    with opened as verifier, _terminated_as_interrupted():
        began = time.perf_counter()
        progress = _Progress(rows.count)
        try:
            with progress:
                tally = verify_rows(rows, out, verifier, form, settings=settings, verified=progress.add)
        except KeyboardInterrupt:
            raise Interrupted(_stopped(progress, out)) from None
        seconds = time.perf_counter() - began
        _print_summary(new_console(), tally, seconds, verifier)
    if out is not None:
        new_console().print(Text(f"Verdicts: {out}"))


def _source_digest(function: str) -> str:
    """Of the file with a user's function, found without importing anything; "" where there is none."""
    module = Path(*function.partition(":")[0].split(".")).with_suffix(".py") if function else Path()
    found = next((at for entry in ["", *sys.path] if (at := Path(entry) / module).is_file()), None)
    return digest_of(found) if found else ""


def _stopped(progress: _Progress, out: Path | None) -> str:
    if out is None or not progress.done:
        return "stopped; no verdicts were written"
    return (
        f"stopped after {progress.done:,} of {progress.total:,} rows, whose verdicts are kept beside {out}: the same "
        f"command goes on from there"
    )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Progress:
    """A bar on a terminal, and a line every ``SECONDS_BETWEEN_LINES`` elsewhere, on the standard error."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._said = time.monotonic()
        columns = (TextColumn("verified"), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._is_shown = sys.stderr.isatty()
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not self._is_shown)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> None:
        self._bar.start()

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    def add(self, count: int) -> None:
        self.done += count
        self._bar.advance(self._task, count)
        if not self._is_shown and time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            print(f"relift: {self.done:,} of {self.total:,} rows verified", file=sys.stderr, flush=True)


@contextmanager
def _opened(options: Options, think_opened: bool, workers: int | None) -> Iterator[Verifier]:
    """The verifier that a recipe with these options would have; the form `either` is only for what is there already."""
    is_either = options["answer_form"] == "either"
    given = {name: value for name, value in options.items() if value is not None}
    if is_either:
        del given["answer_form"]
    form: AnswerForm | None = "either" if is_either else None
    with ExitStack() as stack:
        try:
            config = validated({"questions": {"format": "rows", **given}}, origin="the command")
            made = make_verifier(config, think_opened=think_opened, form=form, workers=workers)
            verifier = stack.enter_context(made)
            require_comparison(config, verifier)
        except ConfigError as problem:
            named = _SETTING.sub(lambda found: _NAMES[found[1] or found[2]], str(problem))
            raise ConfigError(named.replace("  questions: ", "  ")) from None
        yield verifier


def _check_out(source: Path, out: Path) -> None:
    if out.suffix != source.suffix:
        raise ConfigError(f"--out {out} must end in {source.suffix}: verdicts are written in the format of their rows")
    if out.exists() and out.samefile(source):
        raise ConfigError(f"--out {out} is the file that is read: name another one")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")


def _print_summary(console: Console, tally: Tally, seconds: float, verifier: Verifier) -> None:
    rows = len(tally.seconds)
    if rows:
        console.print(_shares("status", tally.statuses, Status))
        console.print(_shares("decided by", tally.paths, DecidedBy))
        taken = sorted(tally.seconds)
        p99 = taken[min(len(taken) - 1, len(taken) * 99 // 100)]
        console.print(
            f"A verdict took {statistics.median(taken) * 1000:.3g} ms (median), {p99 * 1000:.3g} ms (p99), "
            f"{taken[-1]:.3g} s (longest)."
        )
    pool = verifier.pool
    console.print(
        f"{rows} rows in {seconds:.1f} s, {rows / max(seconds, 1e-9):,.0f} a second; {pool.started} "
        f"workers started, {pool.killed} of them hung or died."
    )
    console.print(f"Versions: {verifier_version()}.")


def _shares(title: str, counts: Counter[_Kind], order: Iterable[_Kind]) -> Table:
    table = Table(title, "rows", "share")
    for kind in order:
        if counts[kind]:
            table.add_row(str(kind), str(counts[kind]), f"{counts[kind] / counts.total():.1%}")
    return table


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
