import io
import json
import os
import threading
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from rich.console import Console

from flows.terminal.dashboard import LiveView, means, sparkline
from flows.terminal.text import cropped, one_line, written
from flows.terminal.time_left import Past, Stopwatch, as_clock, read_past
from flows.terminal.view import LineView, PatientLive, make_view
from relift.config import BudgetConfig
from relift.records import EvalResult, IterationReport, Spent, Status, UpdateKind, UpdateReport, Verdict
from relift.run.progress import Example

NEW = Past(accuracies={}, taught={})


def report(number, *, accuracy=0.5, taught=0, unsolved=12, mfu=None):
    return IterationReport(
        iteration=number,
        questions=64,
        rollouts=512,
        tokens=4000,
        accuracy=accuracy,
        statuses={"correct": 256, "wrong": 256},
        unsolved=unsolved,
        solved_all=20,
        buffer=7,
        taught=taught,
        updates=(
            UpdateReport(kind=UpdateKind.RL, tokens=6000, seconds=1.5, mfu=mfu, peak_memory_bytes=3 << 28),
            UpdateReport(kind=UpdateKind.SFT, tokens=1000, seconds=0.5, mfu=mfu and mfu / 3, peak_memory_bytes=3 << 29),
        ),
        seconds={"rollout": 0.5},
    )


def result(benchmark, share, kind=""):
    return EvalResult(
        benchmark=benchmark,
        version=0,
        iteration=0,
        questions=4,
        k=1,
        avg_at_k=share,
        pass_at_k=share,
        low=0,
        high=1,
        kind=kind,
    )


def example(status, text, question="47*6?", gold="282"):
    return Example(question=question, gold=gold, text=text, verdict=Verdict(status=status))


WRONG = example(Status.WRONG, "40*6+7*6=240+41=281")
CORRECT = example(Status.CORRECT, "33", question="12+21?", gold="33")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def terminal(**settings):
    return Console(file=io.StringIO(), force_terminal=True, color_system=None, record=True, width=100, **settings)


def drawn(view):
    view.console.print(view.render())
    return view.console.export_text()


def fake_run(root, iterations=125):
    config = SimpleNamespace(budget=BudgetConfig())
    return SimpleNamespace(name="demo-0", root=root, iterations=iterations, config=config)


def test_the_live_view_shows_the_numbers_of_the_run():
    clock = Clock()
    view = LiveView(terminal(), "demo-0", Stopwatch(125, clock=clock), NEW)
    for number, taught in enumerate((0, 32, 32)):
        view.phase("rollout")
        clock.now += 0.5
        view.tokens(1500)
        clock.now += 1.5
        view.phase("rl_update")
        view.phase("source")
        view.iteration(report(number, accuracy=(0.0, 0.5, 0.754)[number], taught=taught), [WRONG, CORRECT])
    view.evaluated(2, [result("arithmetic/add3", 0.9, "mastered"), result("arithmetic/mul2", 0.1, "unreached")])
    shown = drawn(view)
    assert "demo-0" in shown and "iteration 3 of 125" in shown and "rl_update, source" in shown
    assert "4:04 left" in shown  # 122 iterations of 2 seconds
    assert "75.4 % ▁▅▇" in shown
    assert "12 of 64" in shown
    numbers = next(line for line in shown.splitlines() if "75.4 %" in line).split()
    # (12 of) 64, buffer, taught so far, tokens sampled and trained on per second, peak memory
    assert numbers[-8:-1] == ["64", "7", "64", "3,000", "3,500", "1.5", "GiB"]
    assert "held-out after 2 iterations  50.0 %  mastered 90 unreached 10" in shown
    lines = shown.splitlines()
    (wrong,) = [line for line in lines if "281" in line]
    (correct,) = [line for line in lines if "12+21?" in line]
    assert "wrong" in wrong and "47*6?" in wrong and "gold 282" in wrong
    assert "correct" in correct and "gold 33" in correct


def test_the_live_view_can_be_drawn_before_anything_happened():
    assert "iteration 0 of 8" in drawn(LiveView(terminal(), "small", Stopwatch(8), NEW))


def test_what_a_model_wrote_is_neither_markup_nor_an_escape_sequence_and_stays_in_one_line():
    evil = "[red]so[/red] \x1b[2J\u202e\n\ud800 then\t=282"
    view = LiveView(terminal(), "[b]run[/b]", Stopwatch(8), NEW)
    view.iteration(report(0), [example(Status.WRONG, evil, question="[/]", gold="[dim]")])
    shown = drawn(view)
    assert "[b]run[/b]" in shown and "[/]" in shown and "gold [dim]" in shown
    assert "[red]so[/red] \ufffd[2J\ufffd \ufffd then =282" in shown
    assert "\x1b[2J" not in shown and "\u202e" not in shown


@pytest.mark.parametrize("width", [20, 40, 100, 200])
def test_the_live_view_keeps_to_the_width_of_the_terminal(width):
    long = example(Status.CORRECT, "word " * 2000 + "=282", question="why " * 500, gold="9" * 300)
    view = LiveView(Console(file=io.StringIO(), width=width, record=True), "name" * 30, Stopwatch(8), NEW)
    view.iteration(report(0), [long, long])
    view.evaluated(0, [result(f"benchmark-{i}", 0.5) for i in range(40)])
    lines = drawn(view).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 11


def test_a_long_completion_keeps_its_end():
    assert cropped("a" * 50 + "=282", 13) == "aaaaaaaa…=282"
    assert cropped("short\n one", 13) == "short one"
    assert len(cropped("x" * 50, 1)) == 1
    assert written("\n" * 64, 20) == "(blank)"
    assert one_line("a\x07b") == "a\ufffdb"


def test_a_resumed_run_goes_on_from_what_was_taught_before(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    lines = [asdict(report(n, accuracy=0.25 * n, taught=32)) for n in range(3)]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"iteration": 3, "acc')
    past = read_past(metrics)
    assert past.last == 2
    view = LiveView(terminal(), "demo-0", Stopwatch(125, recorded=past.last), past)
    view.iteration(report(2, accuracy=0.5, taught=32), [])
    shown = drawn(view)
    assert "50.0 % ▁▃▅" in shown and " 96 " in shown
    assert read_past(tmp_path / "none.jsonl").last == -1


def test_the_time_left_is_learned_from_iterations_worked_by_this_process():
    clock = Clock()
    stopwatch = Stopwatch(10, recorded=3, clock=clock)
    for number in (2, 3):  # replayed
        stopwatch.phase("rollout")
        clock.now += 0.01
        stopwatch.iteration(number, Spent())
        assert stopwatch.seconds_left is None
    for number in (4, 5):
        stopwatch.phase("rollout")
        clock.now += 6.0
        stopwatch.iteration(number, Spent())
    assert stopwatch.seconds_left == pytest.approx(4 * 6.0)
    clock.now += 5.0
    assert stopwatch.seconds_left == pytest.approx(4 * 6.0 - 5.0)


def test_the_time_left_counts_the_evaluation_at_the_end():
    clock = Clock()
    stopwatch = Stopwatch(2, clock=clock)
    stopwatch.phase("evaluate")
    clock.now += 30.0
    stopwatch.phase("rollout")
    clock.now += 4.0
    stopwatch.iteration(0, Spent())
    assert stopwatch.seconds_left == pytest.approx(4.0 + 30.0)


def test_with_a_budget_the_time_left_goes_by_what_is_used_of_it():
    clock = Clock()
    stopwatch = Stopwatch(None, budget=BudgetConfig(rollouts=1000), clock=clock)
    for number, rollouts in enumerate((100, 400)):
        stopwatch.phase("rollout")
        clock.now += 6.0
        stopwatch.iteration(number, Spent(rollouts=rollouts))
    assert (stopwatch.share, stopwatch.seconds_left) == (0.4, pytest.approx(12.0 * 600 / 400))
    assert "iteration 0  " in drawn(LiveView(terminal(), "small", Stopwatch(None), NEW))


def test_clock_and_trend():
    assert [as_clock(s) for s in (0, 59.6, 161, 3761)] == ["0:00", "1:00", "2:41", "1:02:41"]
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert means([1, 3, 5], 2) == [2, 5] and means([1, 3], 2) == [1, 3] and means([], 2) == []


def test_without_a_terminal_an_iteration_is_one_line_and_two_examples(tmp_path):
    console = Console(file=io.StringIO(), width=80)
    with make_view(console, fake_run(tmp_path)) as view:
        assert isinstance(view, LineView)
        view.phase("rollout")
        view.iteration(report(36, accuracy=0.5432, taught=32), [WRONG, CORRECT])
        view.evaluated(37, [result("arithmetic/add3", 0.9), result("gsm8k", 0.1)])
    first, wrong, correct, evaluated = console.file.getvalue().splitlines()
    assert first.startswith("iteration 37/125  accuracy 0.543  unsolved 12  buffer 7  taught 32  sampled 0 tokens/s  ")
    assert "  trained 3500 tokens/s  peak 1.5 GiB  " in first
    assert wrong == "  wrong      47*6?  ->  40*6+7*6=240+41=281  (gold 282)"
    assert correct == "  correct    12+21?  ->  33  (gold 33)"
    assert evaluated == "held-out after 37 iterations: mean 0.500  (add3 0.900  gsm8k 0.100)"


def test_the_share_of_the_peak_is_said_where_the_device_is_known(tmp_path):
    console = Console(file=io.StringIO(), width=80)
    with make_view(console, fake_run(tmp_path)) as view:
        view.iteration(report(0, mfu=0.4), [])
    assert "  MFU 33%  " in console.file.getvalue()  # 0.4 over 1.5 s, a third of it over 0.5 s
    view = LiveView(terminal(), "demo-0", Stopwatch(125), NEW)
    view.iteration(report(0, mfu=0.4), [])
    assert "MFU" in drawn(view) and "33%" in drawn(view)


def test_without_a_terminal_a_replayed_iteration_says_so(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(asdict(report(0))) + "\n")
    console = Console(file=io.StringIO(), width=80)
    with make_view(console, fake_run(tmp_path)) as view:
        view.iteration(report(0), [WRONG])
    assert console.file.getvalue() == (
        "iteration 1/125  accuracy 0.500  unsolved 12  buffer 7  taught 0  recorded before\n"
    )


def test_on_a_terminal_there_is_one_live_view_that_other_threads_may_tell(tmp_path):
    console = terminal()
    with make_view(console, fake_run(tmp_path)) as view:
        assert isinstance(view, LiveView)
        threads = [threading.Thread(target=lambda n=n: view.iteration(report(n), [WRONG])) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        view.iteration(report(8), [WRONG])
    assert "iteration 9 of 125" in console.file.getvalue()
    assert console.file.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"


class Gone(io.StringIO):
    def write(self, text):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_that_is_gone_does_not_stop_the_run(tmp_path, is_terminal):
    console = Console(file=Gone(), force_terminal=is_terminal)
    with make_view(console, fake_run(tmp_path)) as view:
        view.iteration(report(0), [WRONG])
        view.evaluated(1, [result("gsm8k", 0.5)])
    assert console.quiet


def test_a_closed_pipe_does_not_stop_the_run(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        console = Console(file=pipe)
        console.on_broken_pipe = lambda: _as_rich_does(console)
        with make_view(console, fake_run(tmp_path)) as view:
            view.iteration(report(0), [WRONG])
            view.iteration(report(1), [WRONG])
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, writing)
        os.close(null)


def _as_rich_does(console):
    """But for turning the standard output of the tests into nothing."""
    console.quiet = True
    raise SystemExit(1)


def test_the_refreshing_thread_survives_a_terminal_that_is_gone():
    console = Console(file=Gone(), force_terminal=True)
    PatientLive("text", console=console).refresh()
    assert console.quiet
