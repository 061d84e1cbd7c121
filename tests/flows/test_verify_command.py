"""`relift verify`: a pair, a file, refusals in one message, and no process or half a file after Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import main as cli


def verify(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["relift", "verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [
        (["1/2", "0.5"], 0, "correct  (decided by rational"),
        (["3", "-3"], 1, "wrong"),
        (["-3", "-3"], 0, "correct  (decided by string"),
        (["3", r"so \boxed{3}", "--form", "response"], 0, "extracted: 3"),
        (["3", "#### 3", "--form", "response", "--answer-form", "hashes"], 0, "correct"),
        (["3", "#### 3", "--form", "response"], 0, "correct"),
        (["3", r"\boxed{4} #### 3", "--form", "response"], 1, "malformed"),
        (["3", r"\boxed{3}", "--form", "response", "--think-opened"], 1, "no_answer"),
        (["3", r"</think>a</think>\boxed{3}", "--form", "response", "--thinking", "ignored"], 0, "correct"),
        (["B", "(b)", "--kind", "choice"], 0, "correct"),
        (["100", "101", "--kind", "number", "--tolerance", "0.01"], 0, "correct"),
        (["", "3"], 1, "bad_gold"),
        (["3", "\udcff"], 1, ""),
    ],
)
def test_a_pair_prints_its_verdict_and_exits_by_it(monkeypatch, capsys, arguments, code, printed):
    assert verify(monkeypatch, *arguments) == code
    assert printed in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["3"], "3 is neither .jsonl nor .parquet"),
        (["no.jsonl"], "no.jsonl cannot be read: No such file"),
        (["3", "4", "5"], "3 texts were given"),
        (["3", "4", "--out", "x.jsonl"], "--out is for the rows of a file"),
        (["3", "4", "--fom", "answer"], "there is no option --fom"),
        (["3", "4", "--form", "reply"], "--form reply is none of answer, response"),
        (["3", "4", "--kind", "number"], "--kind 'number' needs --tolerance"),
        (["3", "4", "--tolerance", "0.1"], "  --tolerance would be ignored by --kind 'math'"),
        (["3", "4", "--answer-form", "round"], "--answer-form round is none of boxed, hashes, equals, either, flex"),
        (["3", "4", "--answer-form", "boxed"], "--answer-form would be ignored, since it tells where a completion"),
        (["3", "4", "--final-answer", "first"], "--final-answer would be ignored"),
        (["3", "4", "--think-opened"], "--think-opened would be ignored"),
        (["3", "4", "--form", "response", "--thinking", "off"], "--thinking: Input should be 'must-close'"),
        (["3", "4", "--think-opened", "--thinking", "ignored"], "--think-opened would be ignored"),
        (["3", "4", "--kind", "callable", "--callable", "nowhere:f"], "--callable='nowhere:f' cannot be used"),
    ],
)
def test_a_mistake_is_one_message(monkeypatch, capsys, arguments, said):
    assert verify(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err


def test_a_file_is_written_with_its_verdicts_and_summed_up(monkeypatch, capsys, tmp_path):
    source, out = tmp_path / "cases.jsonl", tmp_path / "verdicts.jsonl"
    source.write_text('{"gold": "3", "answer": "3", "k": 1}\n{"gold": "3", "answer": "x", "k": 2}\n')
    assert verify(monkeypatch, str(source), "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "correct" in printed
    assert "50.0%" in printed
    assert "2 rows in" in printed
    assert "math-verify 0.9" in printed
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["k"], row["status"]) for row in rows] == [(1, "correct"), (2, "wrong")]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("cases.jsonl", "is the file that is read"),
        ("v.parquet", "must end in .jsonl"),
        ("no/v.jsonl", "there is no folder"),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused(monkeypatch, capsys, tmp_path, out, said):
    source = tmp_path / "cases.jsonl"
    source.write_text('{"gold": "3", "answer": "3"}\n')
    assert verify(monkeypatch, str(source), "--out", str(tmp_path / out)) == 2
    assert said in capsys.readouterr().err
    assert source.read_text() == '{"gold": "3", "answer": "3"}\n'


def test_the_command_loads_neither_torch_nor_prefect():
    code = (
        "import sys\n"
        "sys.argv = ['relift', 'verify', '1/2', '0.5']\n"
        "from flows.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'prefect', 'transformers', 'duckdb', 'sympy', 'pyarrow'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


SLOW = """
import os, time
def f(gold, answer):
    with open("asked.txt", "a") as asked:
        asked.write(answer + "\\n")
    time.sleep(SECONDS)
    return gold == answer
"""


def started(folder: Path, *, seconds: float, rows: int) -> subprocess.Popen[str]:
    """`relift verify` on rows whose answers take so long each, in a process of its own."""
    (folder / "slow.py").write_text(SLOW.replace("SECONDS", str(seconds)))
    (folder / "cases.jsonl").write_text("".join(f'{{"gold": "3", "answer": "{n}"}}\n' for n in range(rows)))
    arguments = ["verify", "cases.jsonl", "--out", "v.jsonl", "--kind", "callable", "--callable", "slow:f"]
    # A shell's background jobs are started with interrupts ignored.
    restored = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{restored}; from flows.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--seconds", "60", "--workers", "1"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert what()


def test_an_interrupt_before_anything_is_done_ends_it_at_once_and_leaves_no_file(tmp_path):
    process = started(tmp_path, seconds=30, rows=9)
    wait_for((tmp_path / "asked.txt").exists)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 3
    assert (process.returncode, out) == (3, "relift: stopped; no verdicts were written\n")
    assert not list(tmp_path.glob("*v.jsonl*"))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_done_when_it_is_stopped_is_kept_and_the_same_command_goes_on(tmp_path, end):
    journal, out = tmp_path / ".v.jsonl.part", tmp_path / "v.jsonl"
    process = started(tmp_path, seconds=0.05, rows=40)
    wait_for(lambda: lines_of(journal) > 16)
    process.send_signal(end)
    said, _ = process.communicate(timeout=20)
    assert not out.exists()
    kept = len(journal.read_text().splitlines()) - 1
    assert 16 <= kept < 40
    if end is not signal.SIGKILL:
        assert process.returncode == 3
        assert said.startswith(f"relift: stopped after {kept} of 40 rows, whose verdicts are kept beside v.jsonl")
    (tmp_path / "asked.txt").unlink()
    process = started(tmp_path, seconds=0.05, rows=40)
    process.communicate(timeout=60)
    assert process.returncode == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["status"] for row in rows] == ["correct" if n == 3 else "wrong" for n in range(40)]
    assert (tmp_path / "asked.txt").read_text().split() == [str(n) for n in range(kept, 40)]
    assert not journal.exists()


def test_verdicts_of_another_function_are_not_gone_on_with(tmp_path):
    process = started(tmp_path, seconds=0.05, rows=40)
    wait_for(lambda: lines_of(tmp_path / ".v.jsonl.part") > 16)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    (tmp_path / "asked.txt").unlink()
    process = started(tmp_path, seconds=0.0, rows=40)
    said, _ = process.communicate(timeout=60)
    assert ".v.jsonl.part is of other rows or settings, and is begun anew" in said
    assert len((tmp_path / "asked.txt").read_text().split()) == 40


def test_where_no_terminal_shows_a_bar_a_line_says_now_and_then_how_far_it_is(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("flows.cli.verify.SECONDS_BETWEEN_LINES", 0.0)
    source = tmp_path / "cases.jsonl"
    source.write_text('{"gold": "3", "answer": "3"}\n' * 100)
    assert verify(monkeypatch, str(source)) == 0
    assert capsys.readouterr().err.startswith("relift: 16 of 100 rows verified\nrelift: 100 of 100 rows verified\n")
